"""Who may be chosen while some are ejected."""

from __future__ import annotations

from collections import Counter
from random import Random

import msgspec
import pytest
from health_kit import SETTINGS, Member

from tunnel.domain.configuration import EjectionSettings
from tunnel.domain.health import HealthState, HealthWatch

RANDOM = Random(1)


def members(count: int) -> tuple[Member, ...]:
    return tuple(Member(f"m{number}") for number in range(count))


def eject(
    watch: HealthWatch[Member],
    member: Member,
    candidates: tuple[Member, ...],
    *,
    now: float = 0.0,
    settings: EjectionSettings = SETTINGS,
) -> bool:
    return any(
        watch.failed(member, member.health.permit, now, settings=settings, candidates=candidates) for _ in range(3)
    )


def test_healthy_candidates_are_returned_as_they_are() -> None:
    watch, candidates = HealthWatch[Member](), members(3)
    assert watch.sound is None
    assert watch.eligible(candidates, 0.0, RANDOM) is candidates
    assert watch.sound is candidates


def test_ejected_member_is_left_out_and_the_rest_is_one_tuple_as_long_as_it_is_the_same() -> None:
    watch, (a, b, c) = HealthWatch[Member](), members(3)
    assert watch.eligible((a, b, c), 0.0, RANDOM)
    candidates = (a, b, c)
    assert eject(watch, b, candidates)
    assert watch.sound is None
    rest = watch.eligible(candidates, 1.0, RANDOM)
    assert rest == (a, c)
    assert watch.eligible(candidates, 2.0, RANDOM) is rest


def test_ejected_member_is_offered_for_a_probe_and_not_while_one_is_under_way() -> None:
    watch, (a, b) = HealthWatch[Member](), members(2)
    candidates = (a, b)
    assert eject(watch, a, candidates)
    assert watch.eligible(candidates, 9.9, RANDOM) == (b,)
    assert watch.eligible(candidates, 10.0, RANDOM) is candidates
    probe = a.health.admit(10.0)
    assert watch.eligible(candidates, 10.0, RANDOM) == (b,)
    watch.undecided(a, probe, 11.0)
    assert watch.eligible(candidates, 11.0, RANDOM) is candidates


def test_returning_member_takes_a_growing_part_and_then_all_is_as_before() -> None:
    watch, (a, b) = HealthWatch[Member](), members(2)
    candidates = (a, b)
    assert eject(watch, a, candidates)
    assert watch.succeeded(a, a.health.admit(10.0), 10.0)
    random = Random(7)
    shares = []
    for now in (10.0, 20.0, 29.0):
        offered = Counter(len(watch.eligible(candidates, now, random)) for _ in range(2000))
        shares.append(offered[2] / 2000)
    assert shares == pytest.approx([0.1, 0.55, 0.955], abs=0.03)
    assert watch.eligible(candidates, 30.0, random) is candidates
    assert watch.sound is candidates
    assert a.health.state is HealthState.HEALTHY


@pytest.mark.parametrize(
    ("count", "percent", "most"), [(1, 50, 0), (2, 50, 1), (3, 50, 1), (4, 50, 2), (5, 50, 2), (3, 0, 0), (3, 100, 3)]
)
def test_no_more_than_the_configured_part_is_ejected(count: int, percent: int, most: int) -> None:
    watch, candidates = HealthWatch[Member](), members(count)
    settings = msgspec.structs.replace(SETTINGS, max_ejected_percent=percent)
    assert sum(eject(watch, member, candidates, settings=settings) for member in candidates) == most


def test_member_that_is_gone_counts_as_one_of_the_group_when_it_is_ejected() -> None:
    watch, (a, b) = HealthWatch[Member](), members(2)
    assert eject(watch, a, (b,))
    assert not eject(watch, b, (b,))


def test_rest_is_that_of_the_candidates_at_hand_and_not_of_those_before() -> None:
    watch, (a, b, c, d, e) = HealthWatch[Member](), members(5)
    assert eject(watch, b, (a, b, c))
    assert watch.eligible((a, b, c), 1.0, RANDOM) == (a, c)
    assert watch.eligible((d, b, e), 1.0, RANDOM) == (d, e)


@pytest.mark.parametrize(("drawn", "offered"), [(0.0999, True), (0.1, False)])
def test_returning_member_is_offered_when_less_than_its_share_is_drawn(drawn: float, offered: bool) -> None:
    class Drawn:
        def random(self) -> float:
            return drawn

        def randrange(self, stop: int, /) -> int:
            raise AssertionError

    watch, (a, b) = HealthWatch[Member](), members(2)
    assert eject(watch, a, (a, b))
    assert watch.succeeded(a, a.health.admit(10.0), 10.0)
    assert (a in watch.eligible((a, b), 10.0, Drawn())) is offered


def test_all_are_used_when_all_are_ejected() -> None:
    watch, candidates = HealthWatch[Member](), members(2)
    everybody = msgspec.structs.replace(SETTINGS, max_ejected_percent=100)
    for member in candidates:
        assert eject(watch, member, candidates, settings=everybody)
    assert watch.eligible(candidates, 1.0, RANDOM) is candidates


def test_returning_members_are_not_left_to_chance_while_nobody_is_healthy() -> None:
    watch, (a, b) = HealthWatch[Member](), members(2)
    candidates = (a, b)
    everybody = msgspec.structs.replace(SETTINGS, max_ejected_percent=100)
    for member in candidates:
        assert eject(watch, member, candidates, settings=everybody)
    assert watch.succeeded(a, a.health.admit(1.0), 1.0)
    assert {watch.eligible(candidates, 1.0, RANDOM) for _ in range(100)} == {(a,)}


def test_ejection_is_noticed_by_whoever_asks_with_another_tuple() -> None:
    watch, (a, b, c) = HealthWatch[Member](), members(3)
    assert watch.eligible((a, b), 0.0, RANDOM) == (a, b)
    assert eject(watch, a, (b, c))
    # It left and comes back: the tuple is another, its health is not.
    assert watch.eligible((c, a, b), 1.0, RANDOM) == (c, b)


def test_selections_remembered_are_bounded() -> None:
    watch, candidates = HealthWatch[Member](), members(12)
    everybody = msgspec.structs.replace(SETTINGS, max_ejected_percent=100)
    for member in candidates[:11]:
        assert eject(watch, member, candidates, settings=everybody)
        assert watch.succeeded(member, member.health.admit(1.0), 1.0)
    random = Random(3)
    for _ in range(1000):
        chosen = watch.eligible(candidates, 11.0, random)
        assert list(chosen) == sorted(chosen, key=candidates.index)
    assert len(watch._selections) <= 64
