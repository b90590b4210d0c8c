from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnel.domain.limits import KIB, MAX_CHUNK_COST, MIB
from tunnel.domain.mux.pacing import (
    INITIAL_ALLOWANCE_BYTES,
    LEAST_ALLOWANCE_BYTES,
    MOST_ALLOWANCE_BYTES,
    LinkPacing,
)


def delivered(pacing: LinkPacing, cost: int, *, sent_at: float, now: float) -> None:
    """Send and acknowledge ``cost`` with nothing else on its way."""
    before = pacing.delivered
    pacing.sent(cost)
    pacing.acknowledged(cost, sent_at=sent_at, delivered_before=before, now=now)


@pytest.mark.rule("N11")
def test_new_link_starts_with_more_than_is_acknowledged_at_once() -> None:
    pacing = LinkPacing(0.0)
    assert (pacing.limit, INITIAL_ALLOWANCE_BYTES, pacing.in_flight) == (320 * KIB, 320 * KIB, 0)
    assert (pacing.chunk_cost, pacing.wide) == (MAX_CHUNK_COST, False)


@pytest.mark.rule("N11")
def test_link_that_carries_little_keeps_what_it_was_allowed() -> None:
    pacing = LinkPacing(0.0)
    for now in range(100):
        delivered(pacing, 10 * KIB, sent_at=float(now), now=now + 0.5)
    assert pacing.limit == INITIAL_ALLOWANCE_BYTES


@pytest.mark.rule("N11")
def test_link_that_delivers_more_is_allowed_more_at_once_and_half_a_mebibyte_at_most() -> None:
    pacing = LinkPacing(0.0)
    delivered(pacing, 352 * KIB, sent_at=0.0, now=0.25)
    assert (pacing._allowance, pacing.wide) == (352 * KIB, True)
    delivered(pacing, 300 * KIB, sent_at=0.5, now=0.625)
    assert pacing._allowance == 512 * KIB == MOST_ALLOWANCE_BYTES
    assert pacing.chunk_cost == MAX_CHUNK_COST


def fill(pacing: LinkPacing, *, rate: int, until: float) -> None:
    """Acknowledge what a link delivers in each quarter of a second, of as much as may be on its way."""
    sent: deque[tuple[int, float, int]] = deque()
    now = 0.0
    while now < until:
        while pacing.room >= KIB:
            sent.append((KIB, now, pacing.delivered))
            pacing.sent(KIB)
        now += 0.25
        for _ in range(rate // KIB // 4):
            cost, sent_at, before = sent.popleft()
            pacing.acknowledged(cost, sent_at=sent_at, delivered_before=before, now=now)


@pytest.mark.rule("N11")
def test_narrow_link_that_is_full_for_two_seconds_is_allowed_a_quarter_of_a_second() -> None:
    before = LinkPacing(0.0)
    fill(before, rate=128 * KIB, until=1.75)
    assert before._allowance == INITIAL_ALLOWANCE_BYTES
    after = LinkPacing(0.0)
    fill(after, rate=128 * KIB, until=2.0)
    assert after._allowance == LEAST_ALLOWANCE_BYTES
    assert after.chunk_cost == 8 * KIB


@pytest.mark.rule("N11")
def test_narrowest_link_is_allowed_something() -> None:
    pacing = LinkPacing(0.0)
    for now in range(8):
        pacing.sent(300 * KIB - pacing.in_flight)
        pacing.acknowledged(KIB, sent_at=float(now), delivered_before=pacing.delivered, now=now + 1.0)
    assert pacing._allowance == LEAST_ALLOWANCE_BYTES == 32 * KIB
    assert pacing.chunk_cost == 8 * KIB


@pytest.mark.rule("N11")
def test_link_that_was_not_full_in_between_keeps_what_it_was_allowed() -> None:
    pacing = LinkPacing(0.0)
    for now in range(8):
        pacing.sent(200 * KIB)
        pacing.acknowledged(1, sent_at=float(now), delivered_before=pacing.delivered, now=now + 0.5)
        pacing.acknowledged(200 * KIB - 1, sent_at=float(now), delivered_before=pacing.delivered, now=now + 0.75)
        delivered(pacing, KIB, sent_at=now + 0.75, now=now + 0.875)
    assert pacing._allowance == INITIAL_ALLOWANCE_BYTES


@pytest.mark.rule("N11")
def test_link_is_full_when_more_than_half_of_what_may_be_is_on_its_way() -> None:
    for in_flight, allowed in ((160 * KIB, INITIAL_ALLOWANCE_BYTES), (160 * KIB + 1, LEAST_ALLOWANCE_BYTES)):
        pacing = LinkPacing(0.0)
        pacing.sent(in_flight)
        pacing.acknowledged(1, sent_at=0.0, delivered_before=0, now=2.0)
        assert pacing._allowance == allowed


@pytest.mark.rule("N13")
def test_narrow_link_drains_to_half_of_what_it_is_allowed() -> None:
    pacing = LinkPacing(0.0)
    pacing.round_trip(0.25, 0.0)
    for now in range(20):
        pacing.sent(max(0, 300 * KIB - pacing.in_flight))
        pacing.acknowledged(KIB, sent_at=float(now), delivered_before=pacing.delivered, now=now + 1.0)
    assert pacing.limit == 16 * KIB


@pytest.mark.rule("N11")
def test_limit_is_twice_what_the_link_delivers_in_its_shortest_round_trip() -> None:
    pacing = LinkPacing(0.0)
    delivered(pacing, MIB, sent_at=0.0, now=0.1)
    assert pacing.limit == pytest.approx(2 * MIB, rel=1e-6)


def test_pings_shorten_the_round_trip() -> None:
    pacing = LinkPacing(0.0)
    pacing.round_trip(0.05, 0.0)
    delivered(pacing, 2 * MIB, sent_at=0.0, now=0.1)
    assert pacing.round_trip_s == 0.05
    assert pacing.limit == pytest.approx(2 * MIB, rel=1e-6)


def test_limit_may_shrink_below_what_is_on_its_way() -> None:
    pacing = LinkPacing(0.0)
    pacing.sent(MIB)
    pacing.acknowledged(1, sent_at=0.0, delivered_before=0, now=1.0)
    assert pacing.room < 0
    pacing.acknowledged(MIB - 1, sent_at=0.0, delivered_before=0, now=1.1)
    assert pacing.room == pacing.limit
    assert pacing.in_flight == 0


def test_rate_is_forgotten_after_two_periods() -> None:
    pacing = LinkPacing(0.0)
    delivered(pacing, 10 * MIB, sent_at=0.0, now=0.1)
    delivered(pacing, KIB, sent_at=1.0, now=1.1)
    assert pacing.limit > MIB
    delivered(pacing, KIB, sent_at=2.1, now=2.2)
    delivered(pacing, KIB, sent_at=3.2, now=3.3)
    assert pacing.limit == MOST_ALLOWANCE_BYTES


def test_round_trip_follows_a_link_that_grew_slower() -> None:
    pacing = LinkPacing(0.0)
    pacing.round_trip(0.01, 0.0)
    for now in (11.0, 22.0, 33.0):
        pacing.round_trip(0.2, now)
    assert pacing.round_trip_s == 0.2


def test_round_trip_is_guessed_until_one_is_known() -> None:
    assert LinkPacing(0.0).round_trip_s == 0.05


def test_acknowledgement_at_once_tells_no_rate() -> None:
    pacing = LinkPacing(0.0)
    delivered(pacing, MIB, sent_at=1.0, now=1.0)
    assert pacing.limit == INITIAL_ALLOWANCE_BYTES


@pytest.mark.rule("N13")
def test_round_trip_of_a_full_link_is_measured_anew_after_draining_and_not_believed_before() -> None:
    pacing = LinkPacing(0.0)
    delivered(pacing, 256 * KIB, sent_at=0.0, now=0.1)
    pacing.sent(2 * MIB)
    pacing.acknowledged(KIB, sent_at=9.5, delivered_before=pacing.delivered, now=10.3)
    assert pacing.round_trip_s == 0.1
    assert pacing.limit == 256 * KIB
    pacing.acknowledged(2 * MIB - KIB, sent_at=9.6, delivered_before=pacing.delivered, now=10.9)
    pacing.sent(KIB)
    pacing.acknowledged(KIB, sent_at=11.0, delivered_before=pacing.delivered, now=11.2)
    assert pacing.round_trip_s == pytest.approx(0.2)
    assert pacing.limit >= MOST_ALLOWANCE_BYTES


@given(st.lists(st.tuples(st.integers(1, MIB), st.integers(0, 30_000), st.integers(0, 3000)), max_size=30))
def test_limit_always_lets_something_through_and_nothing_is_lost(steps: list[tuple[int, int, int]]) -> None:
    pacing, now = LinkPacing(0.0), 0.0
    for cost, elapsed_ms, pause_ms in steps:
        delivered(pacing, cost, sent_at=now, now=now + elapsed_ms / 1000)
        now += (elapsed_ms + pause_ms) / 1000
        assert pacing.limit >= 256 * KIB  # nothing is on its way long enough to tell that it is narrow
        assert pacing.in_flight == 0
    assert pacing.delivered == sum(cost for cost, _, _ in steps)


def test_greatest_rate_of_a_period_is_kept_for_the_next_and_no_longer() -> None:
    pacing = LinkPacing(100.0)
    delivered(pacing, 4 * MIB, sent_at=100.0, now=100.1)
    fast = pacing.limit
    assert fast == pytest.approx(8 * MIB, rel=1e-6)
    period_s = 1.0
    while pacing.limit == fast and period_s < 60.0:
        delivered(pacing, KIB, sent_at=100.0 + period_s, now=100.1 + period_s)
        period_s += 1.0
    assert pacing.limit == MOST_ALLOWANCE_BYTES
    assert 1.0 < period_s < 60.0


def test_new_link_knows_no_rate_of_the_one_before() -> None:
    pacing = LinkPacing(0.0)
    delivered(pacing, 4 * MIB, sent_at=0.0, now=0.1)
    pacing.restart(5.0)
    assert (pacing.limit, pacing.in_flight, pacing.known) == (INITIAL_ALLOWANCE_BYTES, 0, False)
    delivered(pacing, KIB, sent_at=5.0, now=5.1)
    assert pacing.limit == INITIAL_ALLOWANCE_BYTES
    assert pacing.delivered == 4 * MIB + KIB


def test_round_trip_of_a_new_link_is_not_doubted_at_once() -> None:
    pacing = LinkPacing(100.0)
    pacing.round_trip(0.1, 100.1)
    pacing.round_trip(0.2, 100.3)
    assert pacing.round_trip_s == 0.1
    delivered(pacing, KIB, sent_at=100.3, now=100.5)
    assert pacing.limit == INITIAL_ALLOWANCE_BYTES


# All figures of the following are sums of powers of two, so that boundaries are met exactly.


def acknowledge_a_kilobyte(pacing: LinkPacing, now: float) -> int:
    """The limit after a kilobyte was delivered, within the round trip known."""
    delivered(pacing, KIB, sent_at=now - pacing.round_trip_s, now=now)
    return pacing.limit


@pytest.mark.rule("N11")
def test_rate_counts_until_the_end_of_the_period_after_the_one_it_was_seen_in() -> None:
    pacing = LinkPacing(0.0)
    delivered(pacing, 4 * MIB, sent_at=0.625, now=0.75)
    assert pacing.limit == 8 * MIB
    assert [acknowledge_a_kilobyte(pacing, now) for now in (1.0, 1.5)] == [8 * MIB, 8 * MIB]
    assert acknowledge_a_kilobyte(pacing, 2.0) == MOST_ALLOWANCE_BYTES


def test_rate_is_forgotten_when_a_whole_period_passed_without_acknowledgement() -> None:
    pacing = LinkPacing(0.0)
    delivered(pacing, 4 * MIB, sent_at=0.625, now=0.75)
    assert acknowledge_a_kilobyte(pacing, 2.0) == MOST_ALLOWANCE_BYTES


def test_usual_round_trip_moves_by_an_eighth_of_the_difference() -> None:
    pacing = LinkPacing(0.0)
    before = pacing.smoothed_round_trip_s
    pacing.round_trip(before + 8.0, 10.0)
    assert pacing.smoothed_round_trip_s == pytest.approx(before + 1.0)
    pacing.round_trip(before + 1.0, 20.0)
    assert pacing.smoothed_round_trip_s == pytest.approx(before + 1.0)


def doubted(*, in_flight: int) -> LinkPacing:
    """A link whose round trip of 0.25 s was confirmed at 1.0 s, and is doubted since 11.0 s."""
    pacing = LinkPacing(0.0)
    pacing.round_trip(0.25, 1.0)
    pacing.sent(in_flight)
    pacing.round_trip(0.5, 11.0)
    return pacing


@pytest.mark.rule("N13")
def test_shortest_round_trip_is_believed_for_ten_seconds_and_no_longer() -> None:
    pacing = LinkPacing(0.0)
    pacing.round_trip(0.25, 1.0)
    assert acknowledged_after(pacing, 0.5, now=10.75) == INITIAL_ALLOWANCE_BYTES
    assert acknowledged_after(pacing, 0.5, now=11.0) == 256 * KIB


@pytest.mark.rule("N13")
def test_round_trip_as_short_as_the_shortest_confirms_it() -> None:
    pacing = LinkPacing(0.0)
    pacing.round_trip(0.25, 1.0)
    pacing.round_trip(0.25, 9.0)
    assert acknowledged_after(pacing, 0.5, now=18.0) == INITIAL_ALLOWANCE_BYTES
    assert acknowledged_after(pacing, 0.5, now=19.0) == 256 * KIB


def acknowledged_after(pacing: LinkPacing, round_trip_s: float, *, now: float) -> int:
    """The limit after a kilobyte was acknowledged that took ``round_trip_s``."""
    delivered(pacing, KIB, sent_at=now - round_trip_s, now=now)
    return pacing.limit


@pytest.mark.rule("N13")
def test_round_trip_begun_when_the_link_had_drained_is_believed_and_none_before() -> None:
    pacing = doubted(in_flight=256 * KIB)
    pacing.round_trip(0.5, 11.25)
    assert pacing.round_trip_s == 0.25, "it began before"
    pacing.round_trip(1.0, 12.0)
    assert pacing.round_trip_s == 1.0


@pytest.mark.rule("N13")
def test_link_has_not_drained_while_more_is_on_its_way() -> None:
    pacing = doubted(in_flight=256 * KIB + 1)
    pacing.round_trip(0.5, 13.0)
    pacing.round_trip(0.5, 14.0)
    assert pacing.round_trip_s == 0.25
    pacing.acknowledged(1, sent_at=14.0, delivered_before=0, now=15.0)
    pacing.round_trip(0.5, 15.5)
    assert pacing.round_trip_s == 0.5


@pytest.mark.rule("N13")
def test_moment_at_which_the_link_had_drained_is_the_first_one() -> None:
    pacing = doubted(in_flight=0)
    pacing.round_trip(1.5, 12.0)
    pacing.round_trip(1.5, 12.5)
    assert pacing.round_trip_s == 1.5


@pytest.mark.rule("N13")
def test_round_trip_that_is_doubted_again_is_measured_after_draining_again() -> None:
    pacing = doubted(in_flight=0)
    pacing.round_trip(0.5, 12.0)
    assert pacing.round_trip_s == 0.5
    pacing.sent(MIB)
    for now in (22.0, 23.0):
        pacing.round_trip(0.75, now)
        assert pacing.round_trip_s == 0.5, "the link is full"
