from __future__ import annotations

import gc

import msgspec
import pytest

from tunnel.domain.configuration import EjectionSettings
from tunnel.domain.errors import ErrorCode, RegistrationRefused
from tunnel.domain.health import HealthState
from tunnel.domain.identity import ClientId, GroupId, InstanceId, Principal, TunnelId
from tunnel.domain.registry import (
    Admission,
    Attachment,
    ClientRecord,
    GroupMember,
    MemberKey,
    Registry,
    RegistrySnapshot,
    TunnelRecord,
)


def admit(
    registry: Registry[str],
    tunnel_id: str,
    *,
    principal: str = "acme",
    client_id: str = "laptop",
    group: str = "web",
    instance: bytes = b"1",
) -> Admission[str]:
    return registry.admit(
        Principal(principal),
        client_id=ClientId(client_id),
        group=GroupId(group),
        instance_id=InstanceId(instance),
        tunnel_id=TunnelId(tunnel_id),
        tunnel=f"handle of {tunnel_id}",
    )


def candidate_ids(registry: Registry[str], group: str = "web") -> list[str]:
    return [tunnel.tunnel_id for member in registry.candidates(group) for tunnel in member.published]


def eject(registry: Registry[str], member: GroupMember[str]) -> None:
    settings = EjectionSettings(after_failures=1, max_ejected_percent=100)
    health = member.health
    assert registry.roster("web").watch.failed(member, health.permit, 0.0, settings=settings, candidates=())
    assert health.state is HealthState.EJECTED


@pytest.mark.rule("T1")
def test_admitted_tunnel_is_not_selectable_until_published() -> None:
    registry = Registry[str]()
    admission = admit(registry, "t1")
    assert candidate_ids(registry) == []
    assert registry.publish(TunnelId("t1"))
    assert registry.candidates("web") == (admission.selectable.owner,)
    assert registry.candidates("web")[0].pick() is admission.selectable
    assert admission.displaced == ()
    selectable = admission.selectable
    assert (selectable.tunnel, selectable.tunnel_id) == ("handle of t1", "t1")
    assert (selectable.client_id, selectable.member) == ("laptop", MemberKey("acme", ClientId("laptop")))
    assert (selectable.group, selectable.instance_id) == ("web", b"1")


def test_unknown_groups_have_no_candidates() -> None:
    assert Registry[str]().candidates("nowhere") == ()


def test_candidates_are_one_immutable_tuple_until_something_changes() -> None:
    registry = Registry[str]()
    for tunnel_id in ("t1", "t2"):
        admit(registry, tunnel_id, client_id=f"client of {tunnel_id}")
        registry.publish(TunnelId(tunnel_id))
    before = registry.candidates("web")
    admit(registry, "t3", group="other")
    registry.publish(TunnelId("t3"))
    assert registry.candidates("web") is before
    registry.unpublish(TunnelId("t1"))
    assert len(before) == 2
    assert candidate_ids(registry) == ["t2"]


def test_republished_tunnel_is_the_same_and_still_counts_its_sessions() -> None:
    registry = Registry[str]()
    selectable = admit(registry, "t1").selectable
    registry.publish(TunnelId("t1"))
    lease = selectable.acquire()
    registry.unpublish(TunnelId("t1"))
    registry.publish(TunnelId("t1"))
    assert candidate_ids(registry) == ["t1"]
    assert registry.find(TunnelId("t1")) is selectable
    assert selectable.in_flight == 1
    lease.release()
    assert selectable.in_flight == 0


def test_publishing_what_is_gone_does_not_bring_it_back() -> None:
    woken: list[str] = []
    registry = Registry[str](on_published=woken.append)
    admit(registry, "t1")
    registry.remove(TunnelId("t1"))
    assert not registry.publish(TunnelId("t1"))
    assert not registry.publish(TunnelId("never was"))
    assert candidate_ids(registry) == []
    assert woken == []


def test_every_step_down_is_idempotent() -> None:
    registry = Registry[str]()
    admit(registry, "t1")
    registry.publish(TunnelId("t1"))
    for step in (registry.unpublish, registry.remove):
        for tunnel_id in ("t1", "t1", "never was"):
            step(TunnelId(tunnel_id))
    assert registry.tunnels() == ()
    assert registry.snapshot().clients == ()
    assert registry.find(TunnelId("t1")) is None


def test_listener_sees_the_published_tunnel_and_hears_once() -> None:
    seen: list[tuple[str, list[str]]] = []
    registry = Registry[str](on_published=lambda group: seen.append((group, candidate_ids(registry, group))))
    admit(registry, "t1")
    registry.publish(TunnelId("t1"))
    registry.publish(TunnelId("t1"))
    registry.unpublish(TunnelId("t1"))
    assert seen == [("web", ["t1"])]


def test_generation_tells_of_changes() -> None:
    registry = Registry[str]()
    generations = [registry.generation]
    admit(registry, "t1")
    generations.append(registry.generation)
    for step in (registry.publish, registry.unpublish, registry.remove):
        step(TunnelId("t1"))
        generations.append(registry.generation)
    assert generations == sorted(set(generations))
    registry.remove(TunnelId("t1"))
    assert registry.generation == generations[-1]


def test_generation_counts_changes_one_by_one() -> None:
    registry = Registry[str]()
    tunnel_id = TunnelId("t1")
    generations = [registry.generation]
    admit(registry, "t1")
    generations.append(registry.generation)
    registry.configured(tunnel_id, 1, "ab")
    generations.append(registry.generation)
    # What is published is taken out of the choice first, and a tunnel without a link has one again first.
    for step in (registry.publish, registry.unpublish, registry.detach, registry.publish, registry.drain):
        step(tunnel_id)
        generations.append(registry.generation)
    registry.remove(tunnel_id)
    assert [*generations, registry.generation] == [0, 1, 2, 3, 4, 5, 7, 9, 10]


def test_generation_grows_with_every_step_down() -> None:
    registry = Registry[str]()
    admit(registry, "t1")
    registry.publish(TunnelId("t1"))
    generations = [registry.generation]
    for step in (registry.detach, registry.publish, registry.drain):
        step(TunnelId("t1"))
        generations.append(registry.generation)
    assert generations == sorted(set(generations))


def test_detaching_and_draining_what_is_not_published_grow_the_generation_by_one() -> None:
    registry = Registry[str]()
    admit(registry, "t1")
    before = registry.generation
    registry.detach(TunnelId("t1"))
    assert registry.generation == before + 1
    registry.drain(TunnelId("t1"))
    assert registry.generation == before + 2


def test_other_cap_on_links_holds_from_then_on() -> None:
    registry = Registry[str](max_links=2)
    admit(registry, "t1")
    admit(registry, "t2")
    registry.limit_links(1)
    with pytest.raises(RegistrationRefused):
        admit(registry, "t3")
    registry.limit_links(3)
    admit(registry, "t3")
    assert len(registry.tunnels()) == 3


def test_siblings_are_the_other_tunnels_of_the_client() -> None:
    registry = Registry[str]()
    for tunnel_id in ("t1", "t2", "t3"):
        admit(registry, tunnel_id)
    admit(registry, "other", client_id="phone")
    assert [each.tunnel_id for each in registry.siblings(TunnelId("t2"))] == ["t1", "t3"]
    assert registry.siblings(TunnelId("other")) == ()
    assert registry.siblings(TunnelId("unknown")) == ()


def test_members_are_a_part_of_all_clients_in_order() -> None:
    registry = Registry[str]()
    for name in ("a", "b", "c"):
        admit(registry, f"{name}1", client_id=name)
        admit(registry, f"{name}2", client_id=name)
    found = registry.members(1, 1)
    assert [[each.tunnel_id for each in tunnels] for tunnels in found] == [["b1", "b2"]]


def test_records_are_a_part_of_the_snapshot() -> None:
    registry = Registry[str]()
    for name in ("a", "b", "c", "d"):
        admit(registry, name, client_id=name)
    admit(registry, "a2", client_id="a")
    assert registry.member_count == 4
    assert registry.records(1, 2) == registry.snapshot().clients[1:3]
    assert registry.records(3, 9) == registry.snapshot().clients[3:]
    assert registry.records(4, 1) == ()


@pytest.mark.rule("H23")
def test_another_instance_supersedes_at_once() -> None:
    registry = Registry[str]()
    for tunnel_id in ("old1", "old2"):
        admit(registry, tunnel_id, instance=b"old")
        registry.publish(TunnelId(tunnel_id))
    admission = admit(registry, "new", instance=b"new")
    assert admission.displaced == ("handle of old1", "handle of old2")
    assert candidate_ids(registry) == []
    assert not registry.publish(TunnelId("old1"))
    assert registry.tunnels() == ("handle of new",)


@pytest.mark.rule("H24")
def test_same_instance_never_supersedes() -> None:
    registry = Registry[str]()
    assert admit(registry, "t1").displaced == ()
    assert admit(registry, "t2").displaced == ()
    assert registry.tunnels() == ("handle of t1", "handle of t2")


@pytest.mark.rule("H22")
def test_no_credential_displaces_anothers_client() -> None:
    registry = Registry[str]()
    admit(registry, "t1", principal="acme", instance=b"1")
    assert admit(registry, "t2", principal="mallory", instance=b"2").displaced == ()
    assert admit(registry, "t3", principal="acme", client_id="desktop", instance=b"3").displaced == ()
    assert len(registry.tunnels()) == 3


def test_superseded_instance_cannot_displace_its_successor_with_a_late_registration() -> None:
    registry = Registry[str]()
    admit(registry, "old", instance=b"old")
    admit(registry, "new", instance=b"new")
    registry.publish(TunnelId("new"))
    with pytest.raises(RegistrationRefused) as caught:
        admit(registry, "late", instance=b"old")
    assert caught.value.code is ErrorCode.SUPERSEDED
    assert candidate_ids(registry) == ["new"]
    admit(registry, "newest", instance=b"newest")
    for instance in (b"old", b"new"):
        with pytest.raises(RegistrationRefused):
            admit(registry, "late", instance=instance)


def test_superseded_instance_may_return_once_its_successor_has_left() -> None:
    registry = Registry[str]()
    admit(registry, "old", instance=b"old")
    admit(registry, "new", instance=b"new")
    registry.remove(TunnelId("new"))
    assert admit(registry, "back", instance=b"old").displaced == ()


def test_memory_of_superseded_instances_is_bounded() -> None:
    registry = Registry[str]()
    for number in range(1000):
        admit(registry, f"t{number}", instance=number.to_bytes(2))
    with pytest.raises(RegistrationRefused):
        admit(registry, "late", instance=(999 - 64).to_bytes(2))
    assert admit(registry, "long forgotten", instance=(998 - 64).to_bytes(2)).displaced == ("handle of t999",)


@pytest.mark.rule("H25")
def test_member_has_at_most_max_links_tunnels() -> None:
    registry = Registry[str](max_links=2)
    admit(registry, "t1")
    admit(registry, "t2")
    with pytest.raises(RegistrationRefused) as caught:
        admit(registry, "t3")
    assert caught.value.code is ErrorCode.REFUSED
    assert len(registry.tunnels()) == 2
    registry.remove(TunnelId("t1"))
    admit(registry, "t3")
    assert admit(registry, "t4", instance=b"other").displaced == ("handle of t2", "handle of t3")


@pytest.mark.rule("H26")
def test_principal_has_a_cap_of_its_own() -> None:
    registry = Registry[str](max_tunnels_per_principal=2)
    admit(registry, "t1", client_id="a")
    admit(registry, "t2", client_id="b")
    with pytest.raises(RegistrationRefused) as caught:
        admit(registry, "t3", client_id="c")
    assert caught.value.code is ErrorCode.OVERLOADED
    admit(registry, "t3", principal="other")
    registry.remove(TunnelId("t1"))
    admit(registry, "t4", client_id="c")


def test_a_client_has_sixteen_tunnels_and_a_credential_a_thousand_unless_configured_otherwise() -> None:
    registry = Registry[str]()
    for number in range(16):
        admit(registry, f"t{number}")
    with pytest.raises(RegistrationRefused, match="this client has 16 tunnels already"):
        admit(registry, "t16")
    for number in range(16, 1000):
        admit(registry, f"t{number}", client_id=f"client {number}")
    with pytest.raises(RegistrationRefused, match="this credential has 1000 tunnels"):
        admit(registry, "t1000", client_id="one more")


def test_superseding_makes_room_under_the_cap_and_a_refusal_changes_nothing() -> None:
    registry = Registry[str](max_tunnels_per_principal=1)
    admit(registry, "t1", instance=b"1")
    assert admit(registry, "t2", instance=b"2").displaced == ("handle of t1",)
    registry.publish(TunnelId("t2"))
    generation = registry.generation
    with pytest.raises(RegistrationRefused):
        admit(registry, "t3", client_id="other")
    assert registry.generation == generation
    assert candidate_ids(registry) == ["t2"]


def test_lease_counts_once_however_often_it_is_released() -> None:
    selectable = admit(Registry[str](), "t1").selectable
    first, second = selectable.acquire(), selectable.acquire()
    assert selectable.in_flight == 2
    first.release()
    first.release()
    assert selectable.in_flight == 1
    with second:
        assert selectable.in_flight == 1
    second.release()
    assert selectable.in_flight == 0


def test_lease_is_released_when_its_session_fails() -> None:
    selectable = admit(Registry[str](), "t1").selectable

    def fail() -> None:
        with selectable.acquire():
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert selectable.in_flight == 0


def test_lease_ends_with_its_block_and_not_only_when_nobody_holds_it() -> None:
    selectable = admit(Registry[str](), "t1").selectable
    lease = selectable.acquire()
    with lease as entered:
        assert entered is lease
        assert selectable.in_flight == 1
    assert selectable.in_flight == 0
    lease.release()
    assert (selectable.in_flight, selectable.owner.in_flight) == (0, 0)


def test_lost_lease_does_not_count_for_ever() -> None:
    selectable = admit(Registry[str](), "t1").selectable
    lease = selectable.acquire()
    assert selectable.in_flight == 1
    del lease
    gc.collect()
    assert selectable.in_flight == 0


def test_lease_outlives_the_registration() -> None:
    registry = Registry[str]()
    selectable = admit(registry, "t1").selectable
    lease = selectable.acquire()
    registry.remove(TunnelId("t1"))
    assert selectable.in_flight == 1
    lease.release()
    assert selectable.in_flight == 0


def test_snapshot_shows_everyone_and_does_not_change() -> None:
    registry = Registry[str]()
    admit(registry, "t1")
    admit(registry, "t2")
    admit(registry, "t3", principal="other", client_id="desktop", group="api")
    registry.publish(TunnelId("t2"))
    registry.configured(TunnelId("t2"), 3, "ab")
    registry.detach(TunnelId("t3"))
    selectable = registry.find(TunnelId("t2"))
    assert selectable is not None
    lease = selectable.acquire()
    snapshot = registry.snapshot()
    web, api = GroupId("web"), GroupId("api")
    expected = RegistrySnapshot(
        generation=registry.generation,
        clients=(
            ClientRecord(
                principal="acme",
                client_id=ClientId("laptop"),
                group=web,
                tunnels=(
                    TunnelRecord(tunnel_id=TunnelId("t1"), group=web, published=False, in_flight=0),
                    TunnelRecord(
                        tunnel_id=TunnelId("t2"),
                        group=web,
                        published=True,
                        in_flight=1,
                        config_version=3,
                        config_hash="ab",
                    ),
                ),
            ),
            ClientRecord(
                principal="other",
                client_id=ClientId("desktop"),
                group=api,
                tunnels=(
                    TunnelRecord(
                        tunnel_id=TunnelId("t3"),
                        group=api,
                        published=False,
                        in_flight=0,
                        state=Attachment.DETACHED,
                    ),
                ),
            ),
        ),
    )
    assert snapshot == expected
    untouched = snapshot.clients[0].tunnels[0]
    assert (untouched.config_version, untouched.config_hash, untouched.state) == (0, "", Attachment.ATTACHED)
    lease.release()
    registry.remove(TunnelId("t2"))
    assert snapshot == expected
    assert snapshot.clients[0].in_flight == 1
    assert msgspec.json.decode(msgspec.json.encode(snapshot), type=RegistrySnapshot) == snapshot


def test_repr_tells_state_without_the_handle() -> None:
    selectable = admit(Registry[str](), "t1").selectable
    assert repr(selectable) == "<Selectable t1 of laptop, unpublished, 0 in flight>"


def test_repr_of_a_client_tells_name_group_and_state() -> None:
    selectable = admit(Registry[str](), "t1").selectable
    with selectable.acquire():
        assert repr(selectable.owner) == "<GroupMember acme/laptop of web, healthy, 1 in flight>"


# -- members


def test_client_with_several_tunnels_is_one_candidate_whose_tunnels_share_its_sessions() -> None:
    registry = Registry[str]()
    for tunnel_id in ("t1", "t2", "t3"):
        admit(registry, tunnel_id)
        registry.publish(TunnelId(tunnel_id))
    admit(registry, "other", client_id="desktop")
    registry.publish(TunnelId("other"))
    member, _ = registry.candidates("web")
    assert (member.name, member.weight) == ("acme/laptop", 1)
    leases = [member.pick().acquire() for _ in range(30)]
    assert member.in_flight == 30
    assert [tunnel.in_flight for tunnel in member.published] == [10, 10, 10]
    for lease in leases:
        lease.release()
    assert member.in_flight == 0


def test_tunnels_that_are_equally_busy_take_turns() -> None:
    registry = Registry[str]()
    for tunnel_id in ("t1", "t2", "t3"):
        admit(registry, tunnel_id)
        registry.publish(TunnelId(tunnel_id))
    [member] = registry.candidates("web")
    assert sorted(member.pick().tunnel_id for _ in range(6)) == ["t1", "t1", "t2", "t2", "t3", "t3"]


def test_turn_goes_on_to_the_next_tunnel() -> None:
    registry = Registry[str]()
    for tunnel_id in ("t1", "t2", "t3"):
        admit(registry, tunnel_id)
        registry.publish(TunnelId(tunnel_id))
    [member] = registry.candidates("web")
    assert [member.pick().tunnel_id for _ in range(4)] == ["t2", "t3", "t1", "t2"]


def test_tunnel_passed_over_is_not_picked() -> None:
    registry = Registry[str]()
    for tunnel_id in ("t1", "t2", "t3"):
        admit(registry, tunnel_id)
        registry.publish(TunnelId(tunnel_id))
    [member] = registry.candidates("web")
    passed_over = [each for each in member.published if each.tunnel_id == "t2"]
    assert {member.pick(passed_over).tunnel_id for _ in range(6)} == {"t1", "t3"}


def test_least_busy_tunnel_is_picked_wherever_the_turn_is() -> None:
    registry = Registry[str]()
    for tunnel_id in ("t1", "t2", "t3"):
        admit(registry, tunnel_id)
        registry.publish(TunnelId(tunnel_id))
    [member] = registry.candidates("web")
    busy = [tunnel.acquire() for tunnel in member.published if tunnel.tunnel_id != "t2"]
    assert [member.pick().tunnel_id for _ in range(4)] == ["t2"] * 4
    assert len(busy) == 2


def test_of_equally_idle_tunnels_the_next_after_the_turn_is_picked() -> None:
    registry = Registry[str]()
    for tunnel_id in ("t1", "t2", "t3"):
        admit(registry, tunnel_id)
        registry.publish(TunnelId(tunnel_id))
    [member] = registry.candidates("web")
    with member.published[1].acquire():
        assert member.pick().tunnel_id == "t3"


def test_no_two_clients_have_the_same_name() -> None:
    registry = Registry[str]()
    keys = [("a", "b/c"), ("a/b", "c"), ("a%2Fb", "c"), ("a%", "c"), ("a", "c")]
    for number, (principal, client_id) in enumerate(keys):
        admit(registry, f"t{number}", principal=principal, client_id=client_id)
        registry.publish(TunnelId(f"t{number}"))
    names = [member.name for member in registry.candidates("web")]
    assert len(set(names)) == len(keys)
    assert names[-1] == "a/c"


def test_weights_hold_for_those_there_and_those_to_come_and_make_a_new_tuple() -> None:
    registry = Registry[str]()
    for client_id in ("laptop", "desktop"):
        admit(registry, client_id, client_id=client_id)
        registry.publish(TunnelId(client_id))
    before = registry.candidates("web")
    registry.roster("web").weigh({"desktop": 3, "phone": 5})
    assert registry.candidates("web") is not before
    admit(registry, "phone", client_id="phone")
    registry.publish(TunnelId("phone"))
    members = registry.candidates("web")
    assert [member.weight for member in members] == [1, 3, 5]
    registry.roster("web").weigh({"phone": 5, "desktop": 3, "nobody": 7})
    assert registry.candidates("web") is members


# -- detached, draining, configured


def test_detached_tunnel_is_registered_and_not_selectable_until_it_is_published_again() -> None:
    woken: list[str] = []
    registry = Registry[str](max_links=1, max_tunnels_per_principal=1, on_published=woken.append)
    selectable = admit(registry, "t1").selectable
    registry.publish(TunnelId("t1"))
    registry.detach(TunnelId("t1"))
    assert selectable.state is Attachment.DETACHED
    assert registry.candidates("web") == ()
    assert registry.find(TunnelId("t1")) is selectable
    with pytest.raises(RegistrationRefused):
        admit(registry, "t2")
    with pytest.raises(RegistrationRefused):
        admit(registry, "t3", client_id="other")
    assert registry.publish(TunnelId("t1"))
    assert selectable.state is Attachment.ATTACHED
    assert candidate_ids(registry) == ["t1"]
    assert woken == ["web", "web"]


def test_draining_tunnel_is_never_published_again() -> None:
    registry = Registry[str]()
    selectable = admit(registry, "t1").selectable
    registry.publish(TunnelId("t1"))
    registry.drain(TunnelId("t1"))
    assert selectable.state is Attachment.DRAINING
    registry.detach(TunnelId("t1"))
    assert selectable.state is Attachment.DETACHED
    assert not registry.publish(TunnelId("t1"))
    assert selectable.state is Attachment.DRAINING
    assert registry.candidates("web") == ()


def test_what_concerns_unknown_tunnels_does_nothing() -> None:
    registry = Registry[str]()
    registry.detach(TunnelId("never was"))
    registry.drain(TunnelId("never was"))
    registry.configured(TunnelId("never was"), 1, "ab")
    assert registry.generation == 0


# -- health


def test_client_that_dials_again_is_still_ejected() -> None:
    registry = Registry[str]()
    member = admit(registry, "t1").selectable.owner
    eject(registry, member)
    registry.remove(TunnelId("t1"))
    again = admit(registry, "t2", instance=b"another").selectable.owner
    assert again is member
    assert registry.snapshot().clients[0].health is HealthState.EJECTED


def test_failures_told_after_the_tunnel_is_gone_are_those_of_the_client() -> None:
    registry = Registry[str]()
    selectable = admit(registry, "t1").selectable
    lease = selectable.acquire()
    registry.remove(TunnelId("t1"))
    eject(registry, selectable.owner)
    lease.release()
    assert admit(registry, "t2").selectable.owner.health.state is HealthState.EJECTED


def test_client_in_good_health_is_forgotten_with_its_last_tunnel() -> None:
    registry = Registry[str]()
    member = admit(registry, "t1").selectable.owner
    registry.remove(TunnelId("t1"))
    assert registry.roster("web").member(member.key) is None


def test_memory_of_absent_clients_is_bounded() -> None:
    registry = Registry[str]()
    members = []
    for number in range(1010):
        tunnel_id = f"t{number}"
        members.append(admit(registry, tunnel_id, client_id=f"client {number}").selectable.owner)
        eject(registry, members[-1])
        registry.remove(TunnelId(tunnel_id))
    roster = registry.roster("web")
    remembered = [number for number, member in enumerate(members) if roster.member(member.key) is member]
    assert remembered == list(range(10, 1010))


def test_one_lost_tunnel_is_noted_once() -> None:
    selectable = admit(Registry[str](), "t1").selectable
    assert [selectable.note_loss() for _ in range(3)] == [True, False, False]


def test_group_that_is_forgotten_leaves_nothing_behind() -> None:
    registry = Registry[str]()
    before = registry.roster("web")
    admit(registry, "t1")
    registry.publish(TunnelId("t1"))
    registry.remove(TunnelId("t1"))

    registry.forget("web")
    registry.forget("web")

    assert registry.roster("web") is not before
    assert registry.candidates("web") == ()
