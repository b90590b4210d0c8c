"""What holds for every strategy."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from balancing_kit import Member, chosen_names, counts, members
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tunnel.domain.balancing import (
    DEFAULT_STRATEGY,
    KEYED_STRATEGIES,
    STRATEGIES,
    STRATEGY_NAMES,
    UNWEIGHTED_STRATEGIES,
)

every_strategy = pytest.mark.parametrize("name", STRATEGIES)
strategy_names = st.sampled_from(STRATEGY_NAMES)
WEIGHTED = sorted(set(STRATEGIES) - UNWEIGHTED_STRATEGIES)


def test_names_and_default() -> None:
    assert (
        *("round_robin", "weighted", "random"),
        *("least_sessions", "power_of_two", "consistent_hash"),
    ) == STRATEGY_NAMES
    assert STRATEGIES.keys() == set(STRATEGY_NAMES) > {DEFAULT_STRATEGY, *KEYED_STRATEGIES, *UNWEIGHTED_STRATEGIES}


@every_strategy
@pytest.mark.parametrize("weight", [0, 1, 1000])
def test_only_candidate_is_chosen(name: str, weight: int) -> None:
    only = (Member("only", in_flight=1000, weight=weight),)
    strategy = STRATEGIES[name]()
    assert all(strategy.choose(only, Random(1), key) is only[0] for key in (b"", b"a", b"b"))


@given(
    name=strategy_names,
    weights=st.lists(st.integers(0, 3) | st.integers(0, 1000), min_size=9, max_size=9),
    sizes=st.lists(st.integers(1, 9), max_size=30),
    key=st.binary(max_size=3),
    seed=st.integers(),
)
@example("round_robin", [0, 0, 0, 0, 0, 1, 0, 0, 0], [2, 2, 1, 5, 1, 4], b"", 690_202_528_744_092_723_052_545)
def test_choice_is_always_one_of_the_candidates(
    name: str, weights: list[int], sizes: list[int], key: bytes, seed: int
) -> None:
    strategy, random, everyone = STRATEGIES[name](), Random(seed), members(9, weights)
    for size in sizes:
        candidates = tuple(random.sample(everyone, size))
        for _ in range(3):
            chosen = strategy.choose(candidates, random, key)
            assert chosen in candidates
            assert chosen.weight or not any(member.weight for member in candidates)
            chosen.in_flight += 1


@every_strategy
@pytest.mark.parametrize("count", [3, 10])
def test_every_member_gets_its_share(name: str, count: int) -> None:
    share = 600
    got = counts(STRATEGIES[name](), members(count), share * count)
    exact = name in ("round_robin", "weighted")
    # A hash gives shares that differ by 8 % or so for good; 5 sigma of chance are 20 % of 600.
    tolerance = 0 if exact else 0.35 if name == "consistent_hash" else 0.2
    assert all(abs(each - share) <= tolerance * share for each in got.values()), got


@pytest.mark.parametrize("name", WEIGHTED)
def test_idle_members_share_by_weight(name: str) -> None:
    got = counts(STRATEGIES[name](), members(2, [1, 4]), 5000)
    assert 800 <= got["m0"] <= 1200, got


@every_strategy
def test_members_all_of_weight_zero_count_alike(name: str) -> None:
    got = counts(STRATEGIES[name](), members(3, [0, 0, 0]), 1500)
    assert min(got.values()) > 350, got


@every_strategy
def test_change_of_weight_shows_in_the_next_choice(name: str) -> None:
    strategy, before = STRATEGIES[name](), members(3)
    assert min(counts(strategy, before, 300).values()) > 0
    before[1].weight = 0
    assert counts(strategy, (*before,), 300)["m1"] == 0


@every_strategy
def test_each_strategy_object_keeps_its_own_state(name: str) -> None:
    everyone = members(3)
    first, second = STRATEGIES[name](), STRATEGIES[name]()
    chosen_names(first, everyone, 1)
    assert chosen_names(second, everyone, 5) == chosen_names(STRATEGIES[name](), everyone, 5)


@settings(max_examples=50)
@given(name=strategy_names, seed=st.integers(), stay=st.integers(1, 3), flapping=st.integers(1, 4))
def test_nobody_starves_while_others_come_and_go(name: str, seed: int, stay: int, flapping: int) -> None:
    random, strategy, got = Random(seed), STRATEGIES[name](), Counter[str]()
    staying = members(stay)
    visiting = [Member(f"v{number}") for number in range(flapping)]
    choices = 300
    for turn in range(choices):
        present = (*staying, *(member for member in visiting if random.random() < 0.5))
        got[strategy.choose(present, random, b"%d" % turn).name] += 1
    fair = choices / (stay + flapping)  # what those who stay would get if all stayed
    assert all(got[member.name] > fair / 4 for member in staying), got
    assert all(got[member.name] > 0 for member in visiting), got


@every_strategy
@pytest.mark.parametrize("every", [2, 10])
def test_member_gets_its_share_of_the_choices_it_is_there_for(name: str, every: int) -> None:
    """Whether it flaps, or is let through now and then because it was ill."""
    strategy, random, got = STRATEGIES[name](), Random(1), Counter[str]()
    everyone = members(4)
    choices = 4000
    for turn in range(choices):
        present = everyone if turn % every == 0 else everyone[:3]
        got[strategy.choose(present, random, b"%d" % turn).name] += 1
    expected = choices / every / 4
    assert 0.7 * expected < got["m3"] < 1.3 * expected, got
    assert all(0.7 < got[member.name] * 3 / (choices - expected) < 1.3 for member in everyone[:3]), got


@pytest.mark.parametrize("name", ["least_sessions", "power_of_two"])
def test_long_sessions_stay_nearly_even_for_their_weights(name: str) -> None:
    everyone, random, strategy = members(10, [1, 2] * 5), Random(3), STRATEGIES[name]()
    for _ in range(3000):
        strategy.choose(everyone, random).in_flight += 1
    loads = [member.in_flight / member.weight for member in everyone]
    assert max(loads) - min(loads) <= 8


class Weighed(Member):
    """A member that counts how often its weight is asked for."""

    asked = 0

    @property  # type: ignore[override]
    def weight(self) -> int:
        self.asked += 1
        return self._weight

    @weight.setter
    def weight(self, weight: int) -> None:
        self._weight = weight


@pytest.mark.parametrize("name", STRATEGY_NAMES)
def test_weights_are_looked_at_once_while_candidates_stay_the_same(name: str) -> None:
    strategy, candidates, random = STRATEGIES[name](), tuple(Weighed(f"m{number}") for number in range(3)), Random(1)
    for turn in range(20):
        strategy.choose(candidates, random, b"%d" % turn)
    assert [each.asked for each in candidates] == [1, 1, 1]
