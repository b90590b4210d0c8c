"""The members of one group: who is there, who may be chosen, and whose health is remembered."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final, Generic, TypeVar, final

from tunnel.domain.health.watch import HealthWatch
from tunnel.domain.identity import GroupId
from tunnel.domain.registry.group_member import GroupMember, MemberKey
from tunnel.domain.registry.selectable import Selectable

__all__ = ["Roster"]

T = TypeVar("T")

_MAX_REMEMBERED: Final = 1000
"""Members without tunnels, about 1 KiB each; the longest absent is forgotten first."""


@final
class Roster(Generic[T]):
    """One group as balancing sees it. One object for the whole life of the registry, whoever comes and goes.

    A member whose last tunnel is gone is forgotten, unless something speaks against it or may yet do so: its health is
    bad, or it has sessions that have not told how they ended. So a client does not shed its ejection by dialling again.

    Args:
        group: Its name.
    """

    __slots__ = ("_absent", "_candidates", "_members", "_selectable", "_weights", "group", "watch")

    def __init__(self, group: GroupId) -> None:
        self.group = group
        self.watch: HealthWatch[GroupMember[T]] = HealthWatch()
        """Keeps an eye on the health of these members."""
        self._weights: Mapping[str, int] = {}
        self._members: dict[MemberKey, GroupMember[T]] = {}
        self._absent: OrderedDict[MemberKey, GroupMember[T]] = OrderedDict()
        self._selectable: dict[MemberKey, GroupMember[T]] = {}
        self._candidates: tuple[GroupMember[T], ...] | None = ()

    @property
    def candidates(self) -> tuple[GroupMember[T], ...]:
        """Members with a published tunnel, in the order in which they got their first.

        The same tuple until one of them comes, goes, or changes its weight.
        """
        candidates = self._candidates
        if candidates is None:
            candidates = self._candidates = tuple(self._selectable.values())
        return candidates

    def member(self, key: MemberKey) -> GroupMember[T] | None:
        """The member of this key, with tunnels or remembered."""
        return self._members.get(key) or self._absent.get(key)

    def register(self, key: MemberKey) -> GroupMember[T]:
        """One tunnel more of a member: the one remembered, if it was here before."""
        member = self._members.get(key)
        if member is None:
            member = self._absent.pop(key, None) or GroupMember(key, self.group, self._weight(key))
            self._members[key] = member
        member.registered += 1
        return member

    def leave(self, member: GroupMember[T]) -> None:
        """One tunnel less of a member, which is not published any more."""
        member.registered -= 1
        if member.registered:
            return
        del self._members[member.key]
        if member.health.troubled or member.in_flight:
            self._absent[member.key] = member
            if len(self._absent) > _MAX_REMEMBERED:
                self._absent.popitem(last=False)

    def publish(self, selectable: Selectable[T]) -> None:
        """Let sessions be given to a tunnel that was not published."""
        member = selectable.owner
        selectable.published = True
        member.published.append(selectable)
        if len(member.published) == 1:
            self._selectable[member.key] = member
            self._candidates = None

    def unpublish(self, selectable: Selectable[T]) -> None:
        """Let no more sessions be given to a tunnel that was published."""
        member = selectable.owner
        selectable.published = False
        member.published.remove(selectable)
        if not member.published:
            del self._selectable[member.key]
            self._candidates = None

    def weigh(self, weights: Mapping[str, int]) -> None:
        """Let clients count as configured from now on.

        Args:
            weights: By ``client_id``; whoever is not named counts 1.
        """
        self._weights = weights
        for member in (*self._members.values(), *self._absent.values()):
            weight = self._weight(member.key)
            if weight != member.weight:
                member.weight = weight
                self._candidates = None

    def _weight(self, key: MemberKey) -> int:
        return self._weights.get(key.client_id, 1)
