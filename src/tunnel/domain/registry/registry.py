"""The only owner of who is connected: clients, their tunnels, groups, health, and counts of sessions in flight."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import islice
from typing import Final, Generic, TypeVar

import msgspec

from tunnel.domain.errors import ErrorCode, RegistrationRefused
from tunnel.domain.identity import ClientId, GroupId, InstanceId, Principal, TunnelId
from tunnel.domain.registry.group_member import GroupMember, MemberKey
from tunnel.domain.registry.members import Member
from tunnel.domain.registry.records import ClientRecord, RegistrySnapshot
from tunnel.domain.registry.roster import Roster
from tunnel.domain.registry.selectable import Selectable

__all__ = ["Admission", "Registry"]

T = TypeVar("T")

DEFAULT_MAX_TUNNELS_PER_PRINCIPAL: Final = 1000
"""Tunnels, attached and detached; a credential shared by a fleet fits, one that leaks cannot exhaust the server."""

DEFAULT_MAX_LINKS: Final = 16
"""Tunnels of one client process."""


class Admission(msgspec.Struct, Generic[T], frozen=True):
    """What a registration led to.

    Args:
        selectable: The new tunnel, not published yet.
        displaced: Tunnels of the instance superseded. They are out of the registry already; whoever registered the new
            one ends them with ``superseded``.
    """

    selectable: Selectable[T]
    displaced: tuple[T, ...] = ()


class Registry(Generic[T]):
    """Clients and their tunnels. ``T`` is the application's handle of a tunnel, which the registry never looks into.

    A member is one client, known by principal and client_id; so no credential can displace another's client. It has up
    to ``max_links`` tunnels, all dialled by one process, the instance. Each tunnel is admitted, then published and
    unpublished any number of times, then removed. Candidates of a group are its members that have a published tunnel;
    one with several is one candidate all the same, and whoever chose it picks a tunnel of it then.

    Superseding: another instance of the same member takes its place within ``admit``; there is no moment at which
    tunnels of both can be chosen. The newest instance wins. ``superseded`` is fatal to the client it is sent to, and an
    instance superseded once is refused for as long as a successor is there, so two processes that share a client_id
    cannot take turns: one of them stays. Once the last successor has left, nothing remembers the earlier ones.

    Not safe to use from several threads. Whether a principal may join a group is the caller's to check, beforehand.

    Args:
        max_tunnels_per_principal: Cap on the tunnels of one credential, published or not.
        max_links: Cap on the tunnels of one member.
        on_published: Called with the group after a tunnel was published; wakes requests that wait for the group.
    """

    def __init__(
        self,
        *,
        max_tunnels_per_principal: int = DEFAULT_MAX_TUNNELS_PER_PRINCIPAL,
        max_links: int = DEFAULT_MAX_LINKS,
        on_published: Callable[[str], None] | None = None,
    ) -> None:
        self._max_tunnels_per_principal = max_tunnels_per_principal
        self._max_links = max_links
        self._on_published = on_published
        self._members: dict[MemberKey, Member[T]] = {}
        self._tunnels: dict[TunnelId, Selectable[T]] = {}
        self._tunnels_of_principal: Counter[str] = Counter()
        self._rosters: dict[str, Roster[T]] = {}
        self._generation = 0

    def limit_links(self, max_links: int) -> None:
        """Let each member have so many tunnels from now on. Those it has already stay."""
        self._max_links = max_links

    @property
    def generation(self) -> int:
        """Grows with every change of tunnels or candidates; not with counts in flight."""
        return self._generation

    def admit(
        self,
        principal: Principal,
        *,
        client_id: ClientId,
        group: GroupId,
        instance_id: InstanceId,
        tunnel_id: TunnelId,
        tunnel: T,
    ) -> Admission[T]:
        """Register a tunnel, not yet selectable. Nothing changes when it is refused.

        Args:
            principal: Whose credential it came with.
            client_id: Name of the client, the principal's own.
            group: Which group the tunnel serves.
            instance_id: Which process dialled it. Another than the member's so far supersedes that one.
            tunnel_id: Never used before.
            tunnel: The application's handle.

        Returns:
            The tunnel as balancing sees it, and the tunnels it displaced.

        Raises:
            RegistrationRefused: ``REFUSED``, more than ``max_links`` tunnels of this member; ``OVERLOADED``, more than
                ``max_tunnels_per_principal``; ``SUPERSEDED``, this instance has a successor that is still there.

        Source: docs/reference/protocol.md, handshake, attach, resume.
        """
        assert tunnel_id not in self._tunnels, "tunnel ids are the server's own and unique"
        key = MemberKey(principal.name, client_id)
        member = self._members.get(key)
        displaced: tuple[Selectable[T], ...] = ()
        if member is not None:
            member.check(instance_id, max_links=self._max_links)
            if member.instance_id != instance_id:
                displaced = tuple(member.tunnels.values())
        if self._tunnels_of_principal[key.principal] - len(displaced) >= self._max_tunnels_per_principal:
            raise RegistrationRefused(
                ErrorCode.OVERLOADED, f"this credential has {self._max_tunnels_per_principal} tunnels, the most allowed"
            )
        if member is None:
            member = Member(key, instance_id)
        elif displaced:
            member.supersede_by(instance_id)
            for selectable in displaced:
                self.remove(selectable.tunnel_id)
        owner = self.roster(group).register(key)
        selectable = Selectable(tunnel, tunnel_id=tunnel_id, owner=owner, instance_id=instance_id)
        # Displacing its last tunnel has removed the member; it stays the same member, with its memory.
        self._members[key] = member
        member.tunnels[tunnel_id] = selectable
        self._tunnels[tunnel_id] = selectable
        self._tunnels_of_principal[key.principal] += 1
        self._generation += 1
        return Admission(selectable, tuple(selectable.tunnel for selectable in displaced))

    def publish(self, tunnel_id: TunnelId) -> bool:
        """Let sessions be given to a tunnel, which has a link, and call ``on_published`` if it could be given none.

        Returns:
            Whether it can be given sessions now: False for one that drains, or is not registered (any more).
        """
        selectable = self._tunnels.get(tunnel_id)
        if selectable is None:
            return False
        if selectable.detached:
            selectable.detached = False
            self._generation += 1
        if selectable.draining:
            return False
        if not selectable.published:
            self._generation += 1
            self.roster(selectable.group).publish(selectable)
            if self._on_published is not None:
                self._on_published(selectable.group)
        return True

    def unpublish(self, tunnel_id: TunnelId) -> None:
        """Give a tunnel no further sessions. Those it serves stay counted. Idempotent, also for unknown tunnels."""
        selectable = self._tunnels.get(tunnel_id)
        if selectable is not None and selectable.published:
            self._generation += 1
            self.roster(selectable.group).unpublish(selectable)

    def detach(self, tunnel_id: TunnelId) -> None:
        """A tunnel lost its link: it is given no sessions until it is published again, and counts against the caps.

        Idempotent, also for unknown tunnels.
        """
        self.unpublish(tunnel_id)
        selectable = self._tunnels.get(tunnel_id)
        if selectable is not None and not selectable.detached:
            selectable.detached = True
            self._generation += 1

    def drain(self, tunnel_id: TunnelId) -> None:
        """Give a tunnel no further sessions, ever: it cannot be published again. Idempotent, also for unknown ones."""
        self.unpublish(tunnel_id)
        selectable = self._tunnels.get(tunnel_id)
        if selectable is not None and not selectable.draining:
            selectable.draining = True
            self._generation += 1

    def configured(self, tunnel_id: TunnelId, version: int, digest: str) -> None:
        """Note which configuration a tunnel's client has applied. Without effect on unknown tunnels.

        Args:
            tunnel_id: Which tunnel said so.
            version: As the server numbers its configurations.
            digest: As ``GroupSnapshot.hash``.
        """
        selectable = self._tunnels.get(tunnel_id)
        if selectable is not None:
            selectable.config_version = version
            selectable.config_hash = digest
            self._generation += 1

    def remove(self, tunnel_id: TunnelId) -> None:
        """Forget a tunnel, and its client with its last one. Idempotent, also for unknown tunnels.

        The one way out of the registry: superseding takes it too. Leases of the tunnel may be released later.
        """
        self.unpublish(tunnel_id)
        selectable = self._tunnels.pop(tunnel_id, None)
        if selectable is None:
            return
        key = selectable.member
        member = self._members[key]
        del member.tunnels[tunnel_id]
        if not member.tunnels:
            del self._members[key]
        self.roster(selectable.group).leave(selectable.owner)
        self._tunnels_of_principal[key.principal] -= 1
        if not self._tunnels_of_principal[key.principal]:
            del self._tunnels_of_principal[key.principal]
        self._generation += 1

    def roster(self, group: str) -> Roster[T]:
        """The members of a group: one object for each name, until it is forgotten.

        Its candidates are those of ``candidates``.
        """
        roster = self._rosters.get(group)
        if roster is None:
            roster = self._rosters[group] = Roster(GroupId(group))
        return roster

    def forget(self, group: str) -> None:
        """There will be no such group any more, and it has no tunnel. What is known of its members' health is lost."""
        self._rosters.pop(group, None)

    def candidates(self, group: str) -> tuple[GroupMember[T], ...]:
        """The members of a group that can be chosen, longest published first; none for an unknown group.

        The same tuple until one of them comes, goes, or changes its weight. Whose health is bad is among them.
        """
        roster = self._rosters.get(group)
        return () if roster is None else roster.candidates

    def find(self, tunnel_id: TunnelId) -> Selectable[T] | None:
        """The tunnel registered by this id, published or not."""
        return self._tunnels.get(tunnel_id)

    def siblings(self, tunnel_id: TunnelId) -> tuple[Selectable[T], ...]:
        """The other tunnels of the same member; none for an unknown tunnel."""
        selectable = self._tunnels.get(tunnel_id)
        if selectable is None:
            return ()
        return tuple(each for each in self._members[selectable.member].tunnels.values() if each is not selectable)

    def tunnels(self) -> tuple[T, ...]:
        """Every tunnel registered, in order of registration."""
        return tuple(selectable.tunnel for selectable in self._tunnels.values())

    @property
    def member_count(self) -> int:
        """Clients that have a tunnel."""
        return len(self._members)

    def members(self, offset: int, limit: int) -> tuple[tuple[Selectable[T], ...], ...]:
        """The tunnels of up to ``limit`` clients, after the first ``offset``; both in order of registration."""
        members = islice(self._members.values(), offset, offset + limit)
        return tuple(tuple(member.tunnels.values()) for member in members)

    def records(self, offset: int, limit: int) -> tuple[ClientRecord, ...]:
        """A part of ``snapshot``: up to ``limit`` clients, after the first ``offset``."""
        return tuple(member.record() for member in islice(self._members.values(), offset, offset + limit))

    def snapshot(self) -> RegistrySnapshot:
        """Everyone connected, as it is now; does not change afterwards."""
        return RegistrySnapshot(
            generation=self._generation, clients=tuple(member.record() for member in self._members.values())
        )
