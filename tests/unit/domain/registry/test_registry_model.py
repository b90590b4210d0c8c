"""The registry against a model that keeps one flat list and computes everything from it.

Members are ejected and healed by hand: what ejects them is not the registry's business, but whom it remembers is.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from tunnel.domain.configuration import EjectionSettings
from tunnel.domain.errors import ErrorCode, RegistrationRefused
from tunnel.domain.health import HealthState
from tunnel.domain.identity import ClientId, GroupId, InstanceId, Principal, TunnelId
from tunnel.domain.registry import Attachment, GroupMember, Lease, MemberKey, Registry, Selectable

MAX_LINKS = 2
MAX_TUNNELS_PER_PRINCIPAL = 4
PRINCIPALS = ("acme", "other")
CLIENTS = ("laptop", "desktop", "phone")
GROUPS = ("web", "api")
INSTANCES = (b"1", b"2", b"3")
EJECTION = EjectionSettings(after_failures=1, max_ejected_percent=100, slow_return_s=0)


@dataclass(eq=False)
class Handle:
    name: str


@dataclass
class Entry:
    tunnel_id: TunnelId
    handle: Handle
    member: tuple[str, str]
    group: str
    instance: bytes
    published_at: int | None = None
    detached: bool = False
    draining: bool = False
    configured: tuple[int, str] = (0, "")

    @property
    def state(self) -> Attachment:
        if self.detached:
            return Attachment.DETACHED
        return Attachment.DRAINING if self.draining else Attachment.ATTACHED


@dataclass
class Model:
    entries: list[Entry] = field(default_factory=list)
    superseded: dict[tuple[str, str], set[bytes]] = field(default_factory=dict)
    publications: list[str] = field(default_factory=list)
    candidate_since: dict[tuple[str, tuple[str, str]], int] = field(default_factory=dict)
    ejected: set[tuple[str, tuple[str, str]]] = field(default_factory=set)
    """Groups and members. None is ever forgotten: there are fewer of them than the registry remembers."""

    def entry(self, tunnel_id: TunnelId) -> Entry | None:
        return next((entry for entry in self.entries if entry.tunnel_id == tunnel_id), None)

    def of_member(self, member: tuple[str, str]) -> list[Entry]:
        return [entry for entry in self.entries if entry.member == member]

    def refusal(self, member: tuple[str, str], instance: bytes) -> ErrorCode | None:
        mine = self.of_member(member)
        if instance in self.superseded.get(member, ()):
            return ErrorCode.SUPERSEDED
        same = [entry for entry in mine if entry.instance == instance]
        if len(same) >= MAX_LINKS:
            return ErrorCode.REFUSED
        remaining = [entry for entry in self.entries if entry.member[0] == member[0]]
        if len(remaining) - (len(mine) - len(same)) >= MAX_TUNNELS_PER_PRINCIPAL:
            return ErrorCode.OVERLOADED
        return None

    def admit(self, new: Entry) -> list[Handle]:
        displaced = [entry for entry in self.of_member(new.member) if entry.instance != new.instance]
        self.superseded.setdefault(new.member, set()).update(entry.instance for entry in displaced)
        self.entries = [entry for entry in self.entries if entry not in displaced]
        self.entries.append(new)
        return [entry.handle for entry in displaced]

    def remove(self, tunnel_id: TunnelId) -> None:
        self.entries = [entry for entry in self.entries if entry.tunnel_id != tunnel_id]
        for member in list(self.superseded):
            if not self.of_member(member):
                del self.superseded[member]

    def published(self, group: str) -> list[Entry]:
        published = [entry for entry in self.entries if entry.group == group and entry.published_at is not None]
        return sorted(published, key=lambda entry: entry.published_at or 0)

    def candidates(self, group: str) -> list[tuple[str, str]]:
        """Members in the order in which they became candidates."""
        since: dict[tuple[str, str], int] = {}
        for entry in self.published(group):
            since.setdefault(entry.member, self.candidate_since[group, entry.member])
        return sorted(since, key=lambda member: since[member])

    def publish(self, entry: Entry, step: int) -> None:
        if not any(other.member == entry.member for other in self.published(entry.group)):
            self.candidate_since[entry.group, entry.member] = step
        entry.published_at = step
        self.publications.append(entry.group)


class RegistryMachine(RuleBasedStateMachine):
    tunnel_ids = Bundle("tunnel_ids")
    leases = Bundle("leases")

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.heard: list[str] = []
        self.registry: Registry[Handle] = Registry(
            max_tunnels_per_principal=MAX_TUNNELS_PER_PRINCIPAL, max_links=MAX_LINKS, on_published=self.heard.append
        )
        self.selectables: dict[TunnelId, Selectable[Handle]] = {}
        self.open_leases: dict[TunnelId, int] = {}
        self.steps = 0

    @rule(
        target=tunnel_ids,
        principal=st.sampled_from(PRINCIPALS),
        client=st.sampled_from(CLIENTS),
        group=st.sampled_from(GROUPS),
        instance=st.sampled_from(INSTANCES),
    )
    def admit(self, principal: str, client: str, group: str, instance: bytes) -> object:
        tunnel_id = TunnelId(f"t{len(self.selectables)}")
        entry = Entry(tunnel_id, Handle(tunnel_id), (principal, client), group, instance)
        expected_refusal = self.model.refusal(entry.member, instance)
        before = self.registry.snapshot()
        try:
            admission = self.registry.admit(
                Principal(principal),
                client_id=ClientId(client),
                group=GroupId(group),
                instance_id=InstanceId(instance),
                tunnel_id=tunnel_id,
                tunnel=entry.handle,
            )
        except RegistrationRefused as refused:
            refusal: ErrorCode | None = refused.code
        else:
            refusal = None
        assert refusal == expected_refusal
        if refusal is not None:
            assert self.registry.snapshot() == before
            return multiple()
        assert list(admission.displaced) == self.model.admit(entry)
        self.selectables[tunnel_id] = admission.selectable
        self.open_leases[tunnel_id] = 0
        return tunnel_id

    @rule(tunnel_id=tunnel_ids)
    def publish(self, tunnel_id: TunnelId) -> None:
        self.steps += 1
        entry = self.model.entry(tunnel_id)
        assert self.registry.publish(tunnel_id) == (entry is not None and not entry.draining)
        if entry is None:
            return
        entry.detached = False
        if entry.published_at is None and not entry.draining:
            self.model.publish(entry, self.steps)

    @rule(tunnel_id=tunnel_ids)
    def detach(self, tunnel_id: TunnelId) -> None:
        self.registry.detach(tunnel_id)
        entry = self.model.entry(tunnel_id)
        if entry is not None:
            entry.published_at = None
            entry.detached = True

    @rule(tunnel_id=tunnel_ids)
    def drain(self, tunnel_id: TunnelId) -> None:
        self.registry.drain(tunnel_id)
        entry = self.model.entry(tunnel_id)
        if entry is not None:
            entry.published_at = None
            entry.draining = True

    @rule(tunnel_id=tunnel_ids, version=st.integers(1, 9))
    def configure(self, tunnel_id: TunnelId, version: int) -> None:
        self.registry.configured(tunnel_id, version, f"hash of {version}")
        entry = self.model.entry(tunnel_id)
        if entry is not None:
            entry.configured = (version, f"hash of {version}")

    @rule(tunnel_id=tunnel_ids)
    def eject(self, tunnel_id: TunnelId) -> None:
        entry = self.model.entry(tunnel_id)
        if entry is None:
            return
        owner = self.selectables[tunnel_id].owner
        watch = self.registry.roster(entry.group).watch
        ejected = watch.failed(owner, owner.health.permit, 0.0, settings=EJECTION, candidates=())
        assert ejected == ((entry.group, entry.member) not in self.model.ejected)
        self.model.ejected.add((entry.group, entry.member))

    @rule(tunnel_id=tunnel_ids)
    def heal(self, tunnel_id: TunnelId) -> None:
        entry = self.model.entry(tunnel_id)
        if entry is None:
            return
        owner = self.selectables[tunnel_id].owner
        watch = self.registry.roster(entry.group).watch
        assert watch.succeeded(owner, owner.health.permit, 0.0) == ((entry.group, entry.member) in self.model.ejected)
        self.model.ejected.discard((entry.group, entry.member))

    @rule(tunnel_id=tunnel_ids)
    def unpublish(self, tunnel_id: TunnelId) -> None:
        self.registry.unpublish(tunnel_id)
        entry = self.model.entry(tunnel_id)
        if entry is not None:
            entry.published_at = None

    @rule(tunnel_id=tunnel_ids)
    def remove(self, tunnel_id: TunnelId) -> None:
        self.registry.remove(tunnel_id)
        self.model.remove(tunnel_id)

    @rule(target=leases, tunnel_id=tunnel_ids)
    def acquire(self, tunnel_id: TunnelId) -> tuple[TunnelId, Lease]:
        self.open_leases[tunnel_id] += 1
        return tunnel_id, self.selectables[tunnel_id].acquire()

    @rule(lease=consumes(leases), times=st.integers(1, 3))
    def release(self, lease: tuple[TunnelId, Lease], times: int) -> None:
        for _ in range(times):
            lease[1].release()
        self.open_leases[lease[0]] -= 1

    @invariant()
    def candidates_are_the_models(self) -> None:
        for group in (*GROUPS, "nowhere"):
            candidates = self.registry.candidates(group)
            assert [tuple(member.key) for member in candidates] == self.model.candidates(group)
            assert candidates is self.registry.candidates(group) or not candidates
            for member in candidates:
                mine = [each.handle for each in self.model.published(group) if each.member == tuple(member.key)]
                assert [selectable.tunnel for selectable in member.published] == mine
                assert member.pick().in_flight == min(each.in_flight for each in member.published)

    @invariant()
    def detached_and_draining_tunnels_are_never_picked(self) -> None:
        for group in GROUPS:
            for member in self.registry.candidates(group):
                assert {selectable.state for selectable in member.published} == {Attachment.ATTACHED}

    @invariant()
    def health_is_the_models_and_outlives_tunnels(self) -> None:
        for group in GROUPS:
            for principal in PRINCIPALS:
                for client in CLIENTS:
                    member = self._member(group, (principal, client))
                    state = HealthState.HEALTHY if member is None else member.health.state
                    assert (state is HealthState.EJECTED) == ((group, (principal, client)) in self.model.ejected)

    def _member(self, group: str, member: tuple[str, str]) -> GroupMember[Handle] | None:
        return self.registry.roster(group).member(MemberKey(member[0], ClientId(member[1])))

    @invariant()
    def snapshot_is_the_models(self) -> None:
        shown = {
            tunnel.tunnel_id: (
                (client.principal, client.client_id),
                tunnel.group,
                tunnel.published,
                tunnel.state,
                (tunnel.config_version, tunnel.config_hash),
            )
            for client in self.registry.snapshot().clients
            for tunnel in client.tunnels
        }
        assert shown == {
            entry.tunnel_id: (
                entry.member,
                entry.group,
                entry.published_at is not None,
                entry.state,
                entry.configured,
            )
            for entry in self.model.entries
        }
        assert list(self.registry.tunnels()) == [entry.handle for entry in self.model.entries]

    @invariant()
    def members_are_of_one_instance_and_within_their_caps(self) -> None:
        for principal in PRINCIPALS:
            mine = [entry for entry in self.model.entries if entry.member[0] == principal]
            assert len(mine) <= MAX_TUNNELS_PER_PRINCIPAL
        for entry in self.model.entries:
            siblings = self.model.of_member(entry.member)
            assert len(siblings) <= MAX_LINKS
            assert {sibling.instance for sibling in siblings} == {entry.instance}

    @invariant()
    def counts_in_flight_are_the_open_leases(self) -> None:
        assert {tunnel_id: selectable.in_flight for tunnel_id, selectable in self.selectables.items()} == (
            self.open_leases
        )
        of_members: dict[GroupMember[Handle], int] = {}
        for tunnel_id, selectable in self.selectables.items():
            of_members[selectable.owner] = of_members.get(selectable.owner, 0) + self.open_leases[tunnel_id]
        assert {member: member.in_flight for member in of_members} == of_members

    @invariant()
    def listener_heard_every_publication_once(self) -> None:
        assert self.heard == self.model.publications

    def teardown(self) -> None:
        for tunnel_id in self.selectables:
            self.registry.remove(tunnel_id)
        assert self.registry.tunnels() == ()
        assert self.registry.snapshot().clients == ()
        assert all(self.registry.candidates(group) == () for group in GROUPS)
        # Nothing is left behind of anyone who was here, but the health of those that need it.
        assert not self.registry._members
        assert not self.registry._tunnels_of_principal
        for group in GROUPS:
            roster = self.registry.roster(group)
            assert not roster._members
            assert not roster._selectable


RegistryMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestRegistryAgainstModel = RegistryMachine.TestCase
