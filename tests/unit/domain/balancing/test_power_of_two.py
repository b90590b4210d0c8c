from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from balancing_kit import Member, counts, members
from hypothesis import given
from hypothesis import strategies as st

from tunnel.domain.balancing import PowerOfTwo

weights = st.integers(1, 1000)


@given(st.integers(0, 50), st.integers(0, 50), weights, weights, st.integers())
def test_power_of_two_takes_the_less_busy_of_two(one: int, other: int, weight: int, heft: int, seed: int) -> None:
    candidates = (Member("one", one, weight), Member("other", other, heft))
    chosen = PowerOfTwo().choose(candidates, Random(seed))
    assert chosen.in_flight / chosen.weight == min(one / weight, other / heft)


@given(st.integers(2, 10), st.data())
def test_power_of_two_never_takes_the_only_busiest(count: int, data: st.DataObject) -> None:
    candidates = members(count, data.draw(st.lists(weights, min_size=count, max_size=count)))
    busiest = data.draw(st.sampled_from(candidates))
    busiest.in_flight = 1
    assert PowerOfTwo().choose(candidates, Random(data.draw(st.integers()))) is not busiest


@pytest.mark.parametrize("count", [2, 3, 10])
def test_power_of_two_decides_ties_evenly(count: int) -> None:
    got = counts(PowerOfTwo(), members(count), 1000 * count)
    assert all(850 < share < 1150 for share in got.values()), got


def test_power_of_two_decides_ties_by_weight() -> None:
    got = counts(PowerOfTwo(), members(3, [1, 3, 6]), 5000)
    assert 400 < got["m0"] < 600, got
    assert 1350 < got["m1"] < 1650, got


def test_power_of_two_spreads_over_members_whose_sessions_end_at_different_speeds() -> None:
    everyone, random, strategy, got = members(4), Random(5), PowerOfTwo(), Counter[str]()
    slow = everyone[0]
    for _ in range(4000):
        chosen = strategy.choose(everyone, random)
        got[chosen.name] += 1
        chosen.in_flight += 1
        for member in everyone:
            if member.in_flight and random.random() < (0.1 if member is slow else 0.6):
                member.in_flight -= 1
    assert 0 < got[slow.name] < min(got[member.name] for member in everyone[1:])
