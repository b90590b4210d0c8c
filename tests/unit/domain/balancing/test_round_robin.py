from __future__ import annotations

from collections import Counter
from random import Random

from balancing_kit import Member, chosen_names, members
from hypothesis import example, given
from hypothesis import strategies as st

from tunnel.domain.balancing import RoundRobin


@given(st.integers(1, 20), st.integers(0, 100))
def test_round_robin_gives_every_member_the_same(count: int, times: int) -> None:
    counts = Counter(chosen_names(RoundRobin(), members(count), times))
    shares = [counts[f"m{number}"] for number in range(count)]
    assert sum(shares) == times
    assert max(shares) - min(shares) <= 1


def test_round_robin_goes_on_after_the_last_chosen_when_one_before_it_leaves() -> None:
    a, b, c, d = members(4)
    strategy = RoundRobin()
    assert chosen_names(strategy, (a, b, c, d), 2) == ["m0", "m1"]
    assert chosen_names(strategy, (b, c, d), 2) == ["m2", "m3"]


def test_round_robin_goes_on_after_the_last_chosen_when_that_one_leaves() -> None:
    a, b, c = members(3)
    strategy = RoundRobin()
    assert chosen_names(strategy, (a, b, c), 2) == ["m0", "m1"]
    assert chosen_names(strategy, (a, c), 2) == ["m2", "m0"]
    assert chosen_names(strategy, (c,), 1) == ["m2"]
    assert chosen_names(strategy, (a, b), 2) == ["m0", "m1"]


def test_round_robin_takes_a_member_that_is_back_for_the_one_it_was() -> None:
    strategy = RoundRobin()
    assert chosen_names(strategy, members(3), 2) == ["m0", "m1"]
    assert chosen_names(strategy, members(3), 2) == ["m2", "m0"]


def test_round_robin_gives_a_member_its_part_of_the_times_it_is_there() -> None:
    a, b, c = members(3)
    strategy, random = RoundRobin(), Random(1)
    counts = Counter(strategy.choose((a, b, c) if turn % 2 else (a, b), random).name for turn in range(600))
    assert counts == {"m0": 250, "m1": 250, "m2": 100}


def test_round_robin_passes_over_weight_zero_and_heeds_no_other() -> None:
    assert chosen_names(RoundRobin(), members(4, [0, 7, 0, 1]), 4) == ["m1", "m3", "m1", "m3"]


def test_round_robin_is_not_biased_by_a_member_that_comes_and_goes_regularly() -> None:
    a, b, c = members(3)
    strategy, random = RoundRobin(), Random(1)
    counts = Counter(strategy.choose((a, b, c) if turn % 2 else (a, b), random).name for turn in range(3000))
    assert abs(counts["m0"] - counts["m1"]) <= 1


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
        counts[strategy.choose(tuple(present), random).name] += 1
        shares = [counts[member.name] for member in staying]
        # An arrival right behind the last chosen delays the others' turns; it never takes one from them.
        assert max(shares) - min(shares) <= 1
