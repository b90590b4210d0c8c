from __future__ import annotations

from collections import Counter
from fractions import Fraction
from random import Random

import pytest
from balancing_kit import Member, chosen_names, members
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tunnel.domain.balancing import Weighted, turns

some_weights = st.lists(st.integers(1, 9) | st.integers(1, 60), min_size=1, max_size=7)


def window_counts(names: list[str], length: int) -> set[tuple[tuple[str, int], ...]]:
    """Every way in which ``length`` consecutive choices are made up."""
    window = Counter(names[:length])
    found = {tuple(sorted(window.items()))}
    for gone, come in zip(names, names[length:], strict=False):
        window[gone] -= 1
        window[come] += 1
        found.add(tuple(sorted((name, count) for name, count in window.items() if count)))
    return found


def exactly(candidates: tuple[Member, ...]) -> set[tuple[tuple[str, int], ...]]:
    return {tuple(sorted((member.name, member.weight) for member in candidates))}


@pytest.mark.parametrize(
    ("weights", "order"),
    [
        ([1, 1, 1], "012 012"),
        ([5, 1, 1], "0100200 0100200"),
        ([2, 3], "10101 10101"),
        ([2, 0, 4], "202 202"),
        ([1, 6], "1011111"),
    ],
)
def test_turns_are_spread(weights: list[int], order: str) -> None:
    expected = [f"m{digit}" for digit in order.replace(" ", "")]
    assert chosen_names(Weighted(), members(len(weights), weights), len(expected)) == expected


@given(some_weights)
@example([1000, 1, 1])
@example([7, 7, 7, 1])
def test_any_window_of_all_weights_gives_each_its_weight(weights: list[int]) -> None:
    candidates = members(len(weights), weights)
    total = sum(weights)
    assert window_counts(chosen_names(Weighted(), candidates, 3 * total), total) == exactly(candidates)


@settings(max_examples=40)
@given(some_weights)
@example([1000, 1, 1])
def test_nobody_is_ever_a_whole_session_ahead_or_behind(weights: list[int]) -> None:
    candidates = members(len(weights), weights)
    got, total = Counter[str](), sum(weights)
    for done, name in enumerate(chosen_names(Weighted(), candidates, 2 * total), 1):
        got[name] += 1
        for member in candidates:
            assert abs(got[member.name] * total - done * member.weight) < total


@given(some_weights, st.integers(0, 2**16), st.lists(st.integers(1, 5), max_size=20))
def test_shares_are_exact_again_one_window_after_candidates_changed(
    weights: list[int], seed: int, stays: list[int]
) -> None:
    everyone, random, strategy = members(len(weights), weights), Random(seed), Weighted()
    for times in stays:
        present = tuple(random.sample(everyone, random.randint(1, len(everyone))))
        for _ in range(times):
            strategy.choose(present, random)
    present = tuple(random.sample(everyone, random.randint(1, len(everyone))))
    total = sum(member.weight for member in present)
    names = chosen_names(strategy, present, 4 * total)
    assert window_counts(names[total:], total) == exactly(present)


def test_counting_anew_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    candidates = members(4, [3, 5, 8, 13])
    expected = chosen_names(Weighted(), candidates, 200)
    monkeypatch.setattr(turns, "_MAX_CHOICES", 7)
    strategy = Weighted()
    assert chosen_names(strategy, candidates, 200) == expected
    assert strategy._turns._schedule is not None
    assert strategy._turns._schedule.choices == 200 % 7


def test_member_keeps_its_debt_while_it_is_away() -> None:
    heavy, light = members(2, [9, 1])
    strategy, random, got = Weighted(), Random(1), Counter[str]()
    # Gone after every third choice: starting over each time, its turn would never come.
    for turn in range(400):
        present = (heavy,) if turn % 4 == 3 else (heavy, light)
        got[strategy.choose(tuple(present), random).name] += 1
    assert got["m1"] == 300 // 10


def test_member_that_comes_back_takes_no_more_than_it_is_owed() -> None:
    a, b, c = members(3)
    strategy = Weighted()
    assert chosen_names(strategy, (a, b, c), 2) == ["m0", "m1"]
    assert chosen_names(strategy, (a, b), 100) == ["m0", "m1"] * 50
    assert chosen_names(strategy, (a, b, c), 4) == ["m2", "m0", "m1", "m2"]


@given(st.integers(1, 6), st.lists(st.integers(0, 63), min_size=1, max_size=80))
def test_debts_stay_small_however_members_flap(count: int, presences: list[int]) -> None:
    everyone, random, strategy = members(count, range(1, count + 1)), Random(1), Weighted()
    debts = {member.name: Fraction() for member in everyone}
    for presence in presences:
        present = tuple(member for bit, member in enumerate(everyone) if presence >> bit & 1) or everyone
        total = sum(member.weight for member in present)
        for member in present:
            debts[member.name] += Fraction(member.weight, total)
        debts[strategy.choose(present, random).name] -= 1
        assert all(abs(debt) < 3 for debt in debts.values())
    # Nothing is lost by rounding, which many changes would add up.
    strategy._turns._settle(everyone)
    assert all(abs(debts[name] - debt) < 1e-9 for name, debt in strategy._turns._debts.items())


def test_heavy_members_always_new_do_not_starve_a_light_one() -> None:
    light, random, strategy = Member("light"), Random(1), Weighted()
    names = [strategy.choose((Member(f"n{turn}", weight=9), light), random).name for turn in range(1000)]
    assert names.count("light") == 100


def test_members_that_never_come_back_are_forgotten() -> None:
    strategy, random = Weighted(), Random(1)
    for turn in range(3000):
        strategy.choose((Member(f"n{turn}"), Member(f"o{turn}")), random)
    assert len(strategy._turns._debts) <= 1100
