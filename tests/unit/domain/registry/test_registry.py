from __future__ import annotations

import gc

import msgspec
import pytest

from tunnel.domain.errors import ErrorCode, RegistrationRefused
from tunnel.domain.identity import ClientId, GroupId, InstanceId, Principal, TunnelId
from tunnel.domain.registry import Admission, ClientRecord, MemberKey, Registry, RegistrySnapshot, TunnelRecord


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
    return [selectable.tunnel_id for selectable in registry.candidates(group)]


def test_admitted_tunnel_is_not_selectable_until_published() -> None:
    registry = Registry[str]()
    admission = admit(registry, "t1")
    assert candidate_ids(registry) == []
    assert registry.publish(TunnelId("t1"))
    assert registry.candidates("web") == (admission.selectable,)
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
        admit(registry, tunnel_id)
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
    assert registry.candidates("web") == (selectable,)
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


def test_same_instance_never_supersedes() -> None:
    registry = Registry[str]()
    assert admit(registry, "t1").displaced == ()
    assert admit(registry, "t2").displaced == ()
    assert registry.tunnels() == ("handle of t1", "handle of t2")


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
        admit(registry, "late", instance=(990).to_bytes(2))
    assert admit(registry, "long forgotten", instance=(1).to_bytes(2)).displaced == ("handle of t999",)


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
                    TunnelRecord(tunnel_id=TunnelId("t2"), group=web, published=True, in_flight=1),
                ),
            ),
            ClientRecord(
                principal="other",
                client_id=ClientId("desktop"),
                group=api,
                tunnels=(TunnelRecord(tunnel_id=TunnelId("t3"), group=api, published=False, in_flight=0),),
            ),
        ),
    )
    assert snapshot == expected
    lease.release()
    registry.remove(TunnelId("t2"))
    assert snapshot == expected
    assert snapshot.clients[0].in_flight == 1
    assert msgspec.json.decode(msgspec.json.encode(snapshot), type=RegistrySnapshot) == snapshot


def test_repr_tells_state_without_the_handle() -> None:
    selectable = admit(Registry[str](), "t1").selectable
    assert repr(selectable) == "<Selectable t1 of laptop, unpublished, 0 in flight>"
