"""One client as the balancing of one group sees it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Generic, NamedTuple, TypeVar, final

from tunnel.domain.health.health import Health
from tunnel.domain.identity import ClientId, GroupId
from tunnel.domain.registry.selectable import Selectable

__all__ = ["GroupMember", "MemberKey"]

T = TypeVar("T")


class MemberKey(NamedTuple):
    """What tells one client from all others: no credential can name another credential's client."""

    principal: str
    client_id: ClientId

    @property
    def name(self) -> str:
        """``PRINCIPAL/CLIENT_ID``."""
        # Which of the slashes is the separator must be clear, or two clients could share a name.
        principal = self.principal
        if "/" in principal or "%" in principal:
            principal = principal.replace("%", "%25").replace("/", "%2F")
        return f"{principal}/{self.client_id}"


@final
class GroupMember(Generic[T]):
    """A client that serves a group, with however many tunnels: it is chosen first, then one of its tunnels.

    So a client with four links gets the share of one client. Attributes are for reading; only the registry and leases
    change them.

    Args:
        key: Which client.
        group: Which group.
        weight: As configured.
    """

    __slots__ = ("_turn", "group", "health", "in_flight", "key", "name", "published", "registered", "weight")

    def __init__(self, key: MemberKey, group: GroupId, weight: int) -> None:
        self.key = key
        self.group = group
        self.name = key.name
        """``PRINCIPAL/CLIENT_ID``."""
        self.weight = weight
        self.in_flight = 0
        """Sessions of all its tunnels, also of those that are gone, until they are over."""
        self.health = Health()
        self.registered = 0
        """Tunnels."""
        self.published: list[Selectable[T]] = []
        """Tunnels that may be given sessions, longest published first."""
        self._turn = 0

    def pick(self, passed_over: Collection[Selectable[T]] = ()) -> Selectable[T]:
        """The published tunnel with the fewest sessions; those that have equally few take turns.

        Args:
            passed_over: Tunnels not to be picked. There is another, or this is not to be asked.
        """
        published = self.published
        if passed_over:
            published = [each for each in published if each not in passed_over]
        count = len(published)
        if count == 1:
            return published[0]
        turn = self._turn = (self._turn + 1) % count
        best = published[turn]
        for position in (*range(turn + 1, count), *range(turn)):
            if published[position].in_flight < best.in_flight:
                best = published[position]
        return best

    def __repr__(self) -> str:
        return f"<GroupMember {self.name} of {self.group}, {self.health.state}, {self.in_flight} in flight>"
