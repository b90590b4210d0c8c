from __future__ import annotations

import pytest

from tunnel.domain.mux.heartbeat import Heartbeat
from tunnel.domain.mux.rate import RateBudget


@pytest.mark.rule("L8")
def test_ping_is_due_every_interval_one_at_a_time() -> None:
    heartbeat = Heartbeat(5.0, 0.0)
    assert heartbeat.deadline == 5.0
    assert heartbeat.tick(4.9) is None
    assert not heartbeat.ping_due
    assert heartbeat.tick(5.0) is None
    assert heartbeat.ping_due
    nonce = heartbeat.ping(5.0)
    heartbeat.heard(9.0)
    heartbeat.tick(10.0)
    assert not heartbeat.ping_due, "the first one is not answered"
    assert heartbeat.pong(nonce, 10.5) == 5.5
    heartbeat.tick(15.0)
    assert heartbeat.ping_due


def test_pong_to_no_ping_of_ours_tells_nothing() -> None:
    heartbeat = Heartbeat(5.0, 0.0)
    assert heartbeat.pong(1, 1.0) is None
    nonce = heartbeat.ping(1.0)
    assert heartbeat.pong(nonce + 1, 2.0) is None
    assert heartbeat.pong(nonce, 2.0) == 1.0
    assert heartbeat.pong(nonce, 3.0) is None


@pytest.mark.rule("L11")
def test_link_that_is_silent_for_three_intervals_is_dead() -> None:
    heartbeat = Heartbeat(5.0, 0.0)
    heartbeat.heard(1.0)
    assert heartbeat.tick(15.9) is None
    assert heartbeat.tick(16.0) == "nothing heard for 15.0 s"


@pytest.mark.rule("L12")
def test_link_without_progress_for_three_intervals_is_dead_though_it_speaks() -> None:
    heartbeat = Heartbeat(5.0, 0.0)
    heartbeat.progress(2.0, unacknowledged=True)
    heartbeat.heard(16.0)
    assert heartbeat.tick(16.9) is None
    assert heartbeat.deadline == 17.0
    assert heartbeat.tick(17.0) == "no frame acknowledged for 15.0 s"


def test_progress_and_having_nothing_to_acknowledge_keep_a_link_alive() -> None:
    heartbeat = Heartbeat(5.0, 0.0)
    heartbeat.progress(0.0, unacknowledged=True)
    heartbeat.progress(10.0, unacknowledged=True)
    heartbeat.heard(20.0)
    assert heartbeat.tick(20.0) is None
    heartbeat.progress(20.0, unacknowledged=False)
    assert heartbeat.stalled_since is None
    heartbeat.heard(90.0)
    assert heartbeat.tick(100.0) is None


def test_rate_budget_has_a_burst_and_refills() -> None:
    budget = RateBudget(burst=3, per_second=10, now=0.0)
    assert [budget.spend(0.0) for _ in range(4)] == [True, True, True, False]
    assert budget.spend(0.1)
    assert not budget.spend(0.1)
    assert [budget.spend(99.0) for _ in range(4)] == [True, True, True, False]


def test_ping_that_went_out_is_due_no_more() -> None:
    heartbeat = Heartbeat(5.0, 0.0)
    heartbeat.tick(5.0)
    heartbeat.ping(5.0)
    assert not heartbeat.ping_due


def test_ping_that_was_due_when_a_link_was_lost_is_not_sent_on_the_next_at_once() -> None:
    heartbeat = Heartbeat(5.0, 0.0)
    heartbeat.tick(5.0)
    heartbeat.restart(6.0, unacknowledged=False)
    assert not heartbeat.ping_due
    assert heartbeat.deadline == 11.0


def test_stall_is_told_since_the_last_progress() -> None:
    heartbeat = Heartbeat(5.0, 0.0)
    heartbeat.progress(2.0, unacknowledged=True)
    assert heartbeat.stalled_since == 2.0
