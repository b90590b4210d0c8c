from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tunnel.domain.balancing import DEFAULT_STRATEGY, STRATEGIES, STRATEGY_NAMES, PowerOfTwo, RoundRobin


@dataclass(eq=False)
class Member:
    name: str
    in_flight: int = 0


def members(count: int) -> list[Member]:
    return [Member(f"m{number}") for number in range(count)]


def chosen_names(strategy: RoundRobin | PowerOfTwo, candidates: list[Member], times: int, seed: int = 1) -> list[str]:
    random = Random(seed)
    return [strategy.choose(candidates, random).name for _ in range(times)]


def test_names_and_default() -> None:
    assert STRATEGIES.keys() == {"round_robin", "power_of_two"}
    assert STRATEGIES.keys() < set(STRATEGY_NAMES)
    assert DEFAULT_STRATEGY in STRATEGIES


@pytest.mark.parametrize("name", STRATEGIES)
def test_only_candidate_is_chosen(name: str) -> None:
    only = Member("only", in_flight=1000)
    strategy = STRATEGIES[name]()
    assert all(strategy.choose((only,), Random(1)) is only for _ in range(3))


@settings(deadline=None)
@given(name=st.sampled_from(sorted(STRATEGIES)), sizes=st.lists(st.integers(1, 9), max_size=30), seed=st.integers())
def test_choice_is_always_one_of_the_candidates(name: str, sizes: list[int], seed: int) -> None:
    strategy, random, everyone = STRATEGIES[name](), Random(seed), members(9)
    for size in sizes:
        candidates = random.sample(everyone, size)
        assert strategy.choose(candidates, random) in candidates


def test_each_strategy_object_keeps_its_own_turn() -> None:
    everyone = members(3)
    first, second = STRATEGIES["round_robin"](), STRATEGIES["round_robin"]()
    assert first.choose(everyone, Random(1)) is second.choose(everyone, Random(1))


@given(st.integers(1, 20), st.integers(0, 100))
def test_round_robin_gives_every_member_the_same(count: int, times: int) -> None:
    counts = Counter(chosen_names(RoundRobin(), members(count), times))
    shares = [counts[f"m{number}"] for number in range(count)]
    assert sum(shares) == times
    assert max(shares) - min(shares) <= 1


def test_round_robin_goes_on_after_the_last_chosen_when_one_before_it_leaves() -> None:
    a, b, c, d = members(4)
    strategy = RoundRobin()
    assert chosen_names(strategy, [a, b, c, d], 2) == ["m0", "m1"]
    assert chosen_names(strategy, [b, c, d], 2) == ["m2", "m3"]


def test_round_robin_goes_on_after_the_last_chosen_when_that_one_leaves() -> None:
    a, b, c = members(3)
    strategy = RoundRobin()
    assert chosen_names(strategy, [a, b, c], 2) == ["m0", "m1"]
    assert chosen_names(strategy, [a, c], 2) == ["m2", "m0"]
    assert chosen_names(strategy, [c], 1) == ["m2"]
    assert chosen_names(strategy, [], 0) == []
    assert chosen_names(strategy, [a, b], 2) == ["m0", "m1"]


def test_round_robin_is_not_biased_by_a_member_that_comes_and_goes_regularly() -> None:
    a, b, c = members(3)
    strategy, random = RoundRobin(), Random(1)
    counts = Counter(strategy.choose([a, b, c] if turn % 2 else [a, b], random).name for turn in range(3000))
    assert abs(counts["m0"] - counts["m1"]) <= 1


@settings(deadline=None)
@given(
    stays=st.integers(1, 4),
    visitors=st.lists(st.tuples(st.integers(0, 8), st.booleans()), max_size=60),
    seed=st.integers(0, 2**16),
)
@example(stays=2, visitors=[(0, True), (0, False), (0, True), (0, False)], seed=0)
def test_round_robin_is_fair_to_those_who_stay_while_others_come_and_go(
    stays: int, visitors: list[tuple[int, bool]], seed: int
) -> None:
    random = Random(seed)
    staying = [Member(f"stays{number}") for number in range(stays)]
    present, strategy, counts = list(staying), RoundRobin(), Counter[str]()
    for turn, (where, comes) in enumerate(visitors):
        if comes:
            present.insert(where, Member(f"visits{turn}"))
        else:
            others = [member for member in present if member not in staying]
            if others:
                present.remove(random.choice(others))
        counts[strategy.choose(present, random).name] += 1
        shares = [counts[member.name] for member in staying]
        # An arrival right behind the last chosen delays the others' turns; it never takes one from them.
        assert max(shares) - min(shares) <= 1


def test_round_robin_does_not_keep_a_lost_member() -> None:
    strategy = RoundRobin()
    strategy.choose(members(1), Random(1))
    fresh = members(2)
    assert chosen_names(strategy, fresh, 4) in (["m0", "m1"] * 2, ["m1", "m0"] * 2)


@given(st.integers(0, 50), st.integers(0, 50), st.integers())
def test_power_of_two_takes_the_less_busy_of_two(one: int, other: int, seed: int) -> None:
    candidates = [Member("one", one), Member("other", other)]
    chosen = PowerOfTwo().choose(candidates, Random(seed))
    assert chosen.in_flight == min(one, other)


@given(st.integers(2, 10), st.data())
def test_power_of_two_never_takes_the_only_busiest(count: int, data: st.DataObject) -> None:
    candidates = members(count)
    busiest = data.draw(st.sampled_from(candidates))
    busiest.in_flight = 1
    assert PowerOfTwo().choose(candidates, Random(data.draw(st.integers()))) is not busiest


@pytest.mark.parametrize("count", [2, 3, 10])
def test_power_of_two_decides_ties_evenly(count: int) -> None:
    counts = Counter(chosen_names(PowerOfTwo(), members(count), 1000 * count))
    assert len(counts) == count
    assert all(850 < share < 1150 for share in counts.values())


def test_power_of_two_keeps_long_sessions_nearly_even() -> None:
    everyone, random, strategy = members(10), Random(3), PowerOfTwo()
    for _ in range(5000):
        strategy.choose(everyone, random).in_flight += 1
    loads = [member.in_flight for member in everyone]
    assert max(loads) - min(loads) <= 8


def test_power_of_two_spreads_over_members_whose_sessions_end_at_different_speeds() -> None:
    everyone, random, strategy, counts = members(4), Random(5), PowerOfTwo(), Counter[str]()
    slow = everyone[0]
    for _ in range(4000):
        chosen = strategy.choose(everyone, random)
        counts[chosen.name] += 1
        chosen.in_flight += 1
        for member in everyone:
            if member.in_flight and random.random() < (0.1 if member is slow else 0.6):
                member.in_flight -= 1
    assert 0 < counts[slow.name] < min(counts[member.name] for member in everyone[1:])
