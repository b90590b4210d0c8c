from __future__ import annotations

from random import Random

import pytest
from balancing_kit import counts, members
from hypothesis import given
from hypothesis import strategies as st

from tunnel.domain.balancing import LeastSessions


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=9), st.integers())
def test_least_sessions_takes_one_that_is_least_busy_for_its_weight(busy: list[tuple[int, int]], seed: int) -> None:
    candidates = members(len(busy), [weight for _, weight in busy])
    for member, (in_flight, _) in zip(candidates, busy, strict=True):
        member.in_flight = in_flight
    chosen = LeastSessions().choose(candidates, Random(seed))
    if any(member.weight for member in candidates):
        loads = [member.in_flight / member.weight for member in candidates if member.weight]
        assert chosen.in_flight / chosen.weight == min(loads)
    else:
        assert chosen.in_flight == min(member.in_flight for member in candidates)


@pytest.mark.parametrize("count", [2, 3, 10])
def test_least_sessions_decides_ties_evenly(count: int) -> None:
    got = counts(LeastSessions(), members(count), 1000 * count)
    assert all(850 < share < 1150 for share in got.values()), got


def test_least_sessions_decides_ties_evenly_beside_busy_members() -> None:
    everyone = members(5)
    everyone[0].in_flight = everyone[3].in_flight = 1
    got = counts(LeastSessions(), everyone, 3000)
    assert got["m0"] == got["m3"] == 0
    assert all(850 < got[name] < 1150 for name in ("m1", "m2", "m4")), got


def test_least_sessions_keeps_long_sessions_even() -> None:
    everyone, random, strategy = members(3, [1, 2, 3]), Random(1), LeastSessions()
    for total in range(1, 601):
        strategy.choose(everyone, random).in_flight += 1
        if total % 6 == 0:
            assert [member.in_flight * 6 // total for member in everyone] == [1, 2, 3]
