"""One member: a client, the process of it that counts, and that process's tunnels."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, Generic, TypeVar

from tunnel.domain.errors import ErrorCode, RegistrationRefused
from tunnel.domain.identity import InstanceId, TunnelId
from tunnel.domain.registry.group_member import MemberKey
from tunnel.domain.registry.records import ClientRecord
from tunnel.domain.registry.selectable import Selectable

__all__ = ["Member"]

T = TypeVar("T")

_MAX_SUPERSEDED: Final = 64
"""Instances; far more processes than ever hold the same client_id at once, and 1 KiB a member."""


class Member(Generic[T]):
    """The tunnels of one client. They are all of one instance: its newest.

    Instances that were superseded are remembered for as long as the member lives. One that registers once more, because
    it dialled a second link before it learnt its fate, or never got to know, is refused rather than let in: let in, it
    would in turn supersede its successor, and both processes would have been told to end.
    """

    __slots__ = ("_superseded", "instance_id", "key", "tunnels")

    def __init__(self, key: MemberKey, instance_id: InstanceId) -> None:
        self.key = key
        self.instance_id = instance_id
        self.tunnels: dict[TunnelId, Selectable[T]] = {}
        self._superseded: OrderedDict[InstanceId, None] = OrderedDict()

    def check(self, instance_id: InstanceId, *, max_links: int) -> None:
        """Refuse an instance superseded before, or a tunnel more than the member may have.

        Raises:
            RegistrationRefused: ``SUPERSEDED`` or ``REFUSED``.
        """
        if instance_id in self._superseded:
            raise RegistrationRefused(ErrorCode.SUPERSEDED, "another instance of this client has taken over")
        if instance_id == self.instance_id and len(self.tunnels) >= max_links:
            raise RegistrationRefused(
                ErrorCode.REFUSED, f"this client has {max_links} tunnels already, the most allowed"
            )

    def supersede_by(self, instance_id: InstanceId) -> None:
        """From now on this member is ``instance_id``'s; the one before it will not come back."""
        self._superseded[self.instance_id] = None
        if len(self._superseded) > _MAX_SUPERSEDED:
            self._superseded.popitem(last=False)
        self.instance_id = instance_id

    def record(self) -> ClientRecord:
        """This member for a status page. It has a tunnel: the registry forgets members without."""
        newest = next(reversed(self.tunnels.values()))
        return ClientRecord(
            principal=self.key.principal,
            client_id=self.key.client_id,
            group=newest.group,
            tunnels=tuple(each.record() for each in self.tunnels.values()),
            health=newest.owner.health.state,
        )
