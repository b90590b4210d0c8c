"""How one member is ejected and comes back."""

from __future__ import annotations

import msgspec
import pytest
from health_kit import SETTINGS, always, ejected, fail, returning

from tunnel.domain.health import Health, HealthState


def test_member_that_nobody_has_tried_is_healthy_and_takes_its_whole_share() -> None:
    health = Health()
    assert (health.state, health.ejected, health.troubled) == (HealthState.HEALTHY, False, False)
    assert (health.share(0.0), health.ejection_s) == (1.0, 0.0)
    assert health.admit(0.0) is health.permit


def test_as_many_failures_in_a_row_as_configured_eject() -> None:
    health = Health()
    assert [fail(health, health.permit, 0.0) for _ in range(3)] == [False, False, True]
    assert health.state is HealthState.EJECTED
    assert health.ejection_s == 10


def test_success_ends_a_row_of_failures() -> None:
    health = Health()
    for _ in range(5):
        assert not fail(health, health.permit, 0.0)
        assert not fail(health, health.permit, 0.0)
        assert health.troubled
        assert not health.succeeded(health.permit, 0.0)
        assert not health.troubled
    assert health.state is HealthState.HEALTHY


def test_nobody_is_ejected_when_ejection_is_off() -> None:
    health = Health()
    off = msgspec.structs.replace(SETTINGS, after_failures=0)
    assert not any(fail(health, health.permit, 0.0, off) for _ in range(100))


def test_member_that_may_not_be_ejected_is_once_it_may() -> None:
    health = Health()
    answers = [health.failed(health.permit, 0.0, settings=SETTINGS, may_eject=lambda: False) for _ in range(10)]
    assert answers == [False] * 10
    assert health.failed(health.permit, 0.0, settings=SETTINGS, may_eject=always)


def test_session_from_before_the_ejection_says_nothing_about_the_time_after_it() -> None:
    health = Health()
    old = health.permit
    while not fail(health, old, 0.0):
        pass
    assert not health.succeeded(old, 1.0)
    assert not fail(health, old, 1.0)
    health.undecided(old, 1.0)
    assert health.state is HealthState.EJECTED
    assert health.share(9.9) == 0
    assert health.share(10.0) == 1


def test_one_probe_at_a_time_is_let_through_when_the_ejection_is_over() -> None:
    health = ejected()
    assert health.admit(9.9) is health.permit
    probe = health.admit(10.0)
    assert probe is not health.permit
    assert health.state is HealthState.PROBING
    assert health.share(10.0) == 0
    assert health.admit(10.0) is health.permit


def test_probe_that_fails_ejects_for_twice_as_long_up_to_the_maximum() -> None:
    health = ejected()
    now, lengths = 0.0, []
    for _ in range(5):
        lengths.append(health.ejection_s)
        now += health.ejection_s
        assert health.share(now - 0.001) == 0
        assert fail(health, health.admit(now), now)
    assert lengths == [10, 20, 40, 60, 60]


def test_ejections_double_without_end_and_without_overflow() -> None:
    longest = msgspec.structs.replace(SETTINGS, base_s=0.1, max_s=3600)
    health = ejected(settings=longest)
    now = 0.0
    for _ in range(2000):
        now += health.ejection_s
        assert fail(health, health.admit(now), now, longest)
    assert health.ejection_s == 3600


def test_probe_that_succeeds_brings_the_member_back_slowly() -> None:
    health = returning(now=10.0)
    assert health.state is HealthState.RETURNING
    assert health.share(10.0) == pytest.approx(0.1)
    assert health.share(20.0) == pytest.approx(0.55)
    assert health.share(30.0) == pytest.approx(1.0)
    assert not health.settle(29.9)
    assert health.settle(30.0)
    assert health.state is HealthState.HEALTHY
    assert not health.troubled


def test_member_comes_back_at_once_without_slow_return() -> None:
    health = ejected(settings=msgspec.structs.replace(SETTINGS, slow_return_s=0))
    assert health.succeeded(health.admit(10.0), 10.0)
    assert health.state is HealthState.HEALTHY


def test_probe_that_tells_nothing_makes_room_for_the_next() -> None:
    health = ejected()
    first = health.admit(10.0)
    health.undecided(first, 11.0)
    assert health.state is HealthState.EJECTED
    second = health.admit(11.0)
    assert second not in (first, health.permit)
    assert not health.succeeded(first, 12.0)
    assert health.succeeded(second, 12.0)


def test_probe_that_has_told_says_no_more() -> None:
    health = ejected()
    probe = health.admit(10.0)
    assert health.succeeded(probe, 10.0)
    assert not any(fail(health, probe, 11.0) for _ in range(10))
    assert health.state is HealthState.RETURNING


def test_probe_that_told_nothing_is_asked_no_more() -> None:
    health = ejected()
    probe = health.admit(10.0)
    health.undecided(probe, 11.0)
    assert not health.succeeded(probe, 12.0)
    assert health.state is HealthState.EJECTED


def test_probe_that_failed_fails_once() -> None:
    health = ejected()
    probe = health.admit(10.0)
    assert fail(health, probe, 10.0)
    assert not fail(health, probe, 11.0)
    assert not health.succeeded(probe, 11.0)
    assert (health.state, health.ejection_s) == (HealthState.EJECTED, 20)


def test_probe_that_takes_too_long_is_followed_by_another() -> None:
    health = ejected()
    first = health.admit(10.0)
    assert health.share(19.9) == 0
    second = health.admit(20.0)
    assert second is not health.permit
    health.undecided(first, 21.0)
    assert not fail(health, first, 21.0)
    assert health.state is HealthState.PROBING
    assert health.succeeded(second, 22.0)


def test_member_that_fails_while_it_returns_is_out_for_longer() -> None:
    health = returning(now=10.0)
    assert [fail(health, health.permit, 15.0) for _ in range(3)] == [False, False, True]
    assert health.ejection_s == 20


def test_ejections_are_forgotten_when_the_return_is_over() -> None:
    health = returning(now=10.0)
    assert health.settle(30.0)
    assert [fail(health, health.permit, 31.0) for _ in range(3)] == [False, False, True]
    assert health.ejection_s == 10


def test_session_that_succeeds_although_its_member_is_ejected_brings_it_back() -> None:
    # As happens while all are ejected, and are used all the same.
    health = ejected()
    assert health.succeeded(health.admit(1.0), 2.0)
    assert health.state is HealthState.RETURNING


def test_sessions_that_fail_while_their_member_is_ejected_do_not_prolong_it() -> None:
    health = ejected()
    assert not any(fail(health, health.permit, 5.0) for _ in range(10))
    assert health.share(10.0) == 1
