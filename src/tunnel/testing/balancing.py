"""The contract of balancing strategies.

A strategy is put under it by a harness, and the thin class::

    class Quietest(StrategyHarness):
        strategy = QuietestFirst

    class TestQuietest(StrategyContract):
        harness = Quietest

What a strategy takes no notice of, by what its harness says, is shown to make no difference.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import ClassVar, Final

from hypothesis import strategies as st

from tunnel.domain.balancing.strategy import MAX_WEIGHT, Strategy
from tunnel.testing.contract import Contract
from tunnel.testing.contract_tests import ContractTests
from tunnel.testing.declared import expect_at_least, expect_at_most
from tunnel.testing.harness import Harness

__all__ = ["STRATEGY", "Member", "StrategyContract", "StrategyHarness"]


@dataclass(frozen=True)
class Member:
    """A candidate of a check; strategies get nothing that they could change.

    Args:
        name: No other has it.
        weight: From 0 to ``MAX_WEIGHT``.
        in_flight: Sessions it is serving.
    """

    name: str
    weight: int = 1
    in_flight: int = 0


class StrategyHarness(Harness):
    """Makes strategies of one kind, and says what they go by."""

    strategy: ClassVar[Callable[[], Strategy]]
    """Makes a new one."""

    keyed: ClassVar[bool] = False
    """Whether sessions with the same key go to the same candidate."""

    weighted: ClassVar[bool] = True
    """Whether shares follow weights; one that ignores them heeds 0 all the same."""

    loaded: ClassVar[bool] = False
    """Whether candidates with fewer sessions in flight are preferred."""

    tolerance: ClassVar[float] = 0.35
    """By how much of what is due the share of a candidate may differ over ``choices`` choices; 0.35 at most."""

    choices: ClassVar[int] = 2000
    """How many choices a share is taken of; 1,000 at least."""

    def make(self) -> Strategy:
        """A new strategy."""
        return type(self).strategy()


STRATEGY: Final = Contract[StrategyHarness]("strategy")

MEMBER: Final = STRATEGY.state("B-MEMBER", "What is chosen is one of the candidates, whoever was there before.")
EMPTIED: Final = STRATEGY.state(
    "B-EMPTIED", "A candidate of weight 0 is not chosen while there is one of another weight."
)
EMERGENCY: Final = STRATEGY.state("B-EMERGENCY", "When all have weight 0, all are chosen from alike.")
SHARES: Final = STRATEGY.state(
    "B-SHARES", "Over many sessions each candidate gets its share: by weight, or alike where weights are ignored."
)
REPEATS: Final = STRATEGY.state(
    "B-REPEATS", "The same candidates, keys and random numbers lead to the same choices: nothing else decides."
)
RETURNS: Final = STRATEGY.state(
    "B-RETURNS", "Whoever leaves and comes back time and again neither starves nor makes others starve."
)
LOAD: Final = STRATEGY.state(
    "B-LOAD", "Where load is heeded, the busiest of two is not chosen; where it is not, load makes no difference."
)
KEY: Final = STRATEGY.state(
    "B-KEY", "Where keys are heeded, one key leads to one candidate while nobody changes; else they make no difference."
)
MOVES: Final = STRATEGY.state(
    "B-MOVES",
    "Where keys are heeded, only the keys of a candidate that leaves go elsewhere, and they come back with it.",
)

_SEED: Final = 1

_MOST_TOLERANCE: Final = 0.35
"""What hashing needs, with a hundred points for each candidate. With more, twice the share would pass for it."""

_LEAST_CHOICES: Final = 1000
"""Of fewer, chance alone would give shares that differ by more."""

_members = st.lists(
    st.builds(Member, st.sampled_from("abcdefgh"), st.integers(0, 3) | st.just(MAX_WEIGHT), st.integers(0, 5)),
    min_size=1,
    max_size=6,
    unique_by=lambda member: member.name,
)
_histories = st.lists(st.tuples(_members, st.integers(1, 5)), min_size=1, max_size=6)


def _random() -> Random:
    return Random(_SEED)  # noqa: S311 - to be repeated


def _keys(number: int) -> bytes:
    return b"visitor-%d" % number


@STRATEGY.shows(MEMBER, drawn=_histories)
async def one_of_those_present_is_chosen(harness: StrategyHarness, history: list[tuple[list[Member], int]]) -> None:
    strategy, random = harness.make(), _random()
    for members, sessions in history:
        for number in range(sessions):
            chosen = strategy.choose(members, random, _keys(number))
            assert any(chosen is member for member in members), f"{chosen} is none of {members}"


@STRATEGY.shows(EMPTIED, drawn=_histories)
async def what_is_being_emptied_is_left_alone(
    harness: StrategyHarness, history: list[tuple[list[Member], int]]
) -> None:
    strategy, random = harness.make(), _random()
    for members, sessions in history:
        for number in range(sessions):
            chosen = strategy.choose(members, random, _keys(number))
            assert chosen.weight or not any(member.weight for member in members), f"{chosen} of {members}"


@STRATEGY.shows(EMPTIED)
async def of_two_the_one_being_emptied_is_left_alone(harness: StrategyHarness) -> None:
    for weights in ((0, 1), (1, 0)):
        strategy, random = harness.make(), _random()
        members = [Member(name, weight) for name, weight in zip("ab", weights, strict=True)]
        for number in range(20):
            chosen = strategy.choose(members, random, _keys(number))
            assert chosen.weight, f"{chosen} of {members}"


def _counts(harness: StrategyHarness, members: Sequence[Member]) -> Counter[str]:
    strategy, random = harness.make(), _random()
    # A sequence stays the same object while nobody changes, and keys are as many as sessions.
    return Counter(strategy.choose(members, random, _keys(number)).name for number in range(harness.choices))


def _expect_shares(harness: StrategyHarness, counts: Counter[str], due: dict[str, float]) -> None:
    total = sum(due.values())
    for name, share in due.items():
        expected = harness.choices * share / total
        assert abs(counts[name] - expected) <= harness.tolerance * expected, (
            f"{name} got {counts[name]} of {harness.choices} sessions; {expected:.0f} are due"
        )


@STRATEGY.shows(EMERGENCY)
async def those_being_emptied_serve_when_nobody_else_does(harness: StrategyHarness) -> None:
    members = [Member(name, weight=0) for name in "abc"]
    _expect_shares(harness, _counts(harness, members), dict.fromkeys("abc", 1.0))


@STRATEGY.shows(SHARES)
async def candidates_get_their_shares(harness: StrategyHarness) -> None:
    expect_at_most("tolerance", harness.tolerance, _MOST_TOLERANCE)
    expect_at_least("choices", harness.choices, _LEAST_CHOICES)
    for weights in ((1, 1, 1), (1, 1, 2), (3, 1, 0), (MAX_WEIGHT, MAX_WEIGHT, MAX_WEIGHT)):
        members = [Member(name, weight) for name, weight in zip("abc", weights, strict=True)]
        due = {member.name: float(member.weight if harness.weighted else member.weight > 0) for member in members}
        _expect_shares(harness, _counts(harness, members), due)


@STRATEGY.shows(REPEATS, drawn=_histories)
async def choices_can_be_repeated(harness: StrategyHarness, history: list[tuple[list[Member], int]]) -> None:
    def choices() -> list[str]:
        strategy, random = harness.make(), _random()
        return [
            strategy.choose(members, random, _keys(number)).name
            for members, sessions in history
            for number in range(4 * sessions)
        ]

    first = choices()
    assert all(choices() == first for _ in range(4)), "the same arguments led to other choices"


@STRATEGY.shows(RETURNS)
async def comings_and_goings_starve_nobody(harness: StrategyHarness) -> None:
    stays, others = [Member("a"), Member("b")], [Member("a"), Member("b"), Member("c")]
    for sessions in (1, 2, 3):
        strategy, random = harness.make(), _random()
        counts = Counter(
            strategy.choose(members, random, _keys(harness.choices * turn + number)).name
            for turn in range(harness.choices // 20)
            for members in ([*stays], [*others])
            for number in range(sessions)
        )
        least = harness.choices // 20 * sessions * (1 - harness.tolerance) / 3
        assert all(counts[name] >= least for name in "abc"), f"{dict(counts)}: fewer than {least:.0f} for one"


@STRATEGY.shows(LOAD, drawn=st.integers(1, 50))
async def load_decides_or_makes_no_difference(harness: StrategyHarness, busy: int) -> None:
    idle = [Member("a"), Member("b"), Member("c")]
    loaded = [replace(idle[0], in_flight=busy), *idle[1:]]

    def choices(members: list[Member]) -> list[str]:
        strategy, random = harness.make(), _random()
        return [strategy.choose(members, random, _keys(number)).name for number in range(60)]

    if harness.loaded:
        pair = choices(loaded[:2])
        assert "a" not in pair, f"the one with {busy} sessions got {pair.count('a')} of 60 more"
    else:
        assert choices(loaded) == choices(idle), "load made a difference"


@STRATEGY.shows(KEY)
async def keys_decide_or_make_no_difference(harness: StrategyHarness) -> None:
    members = [Member(name) for name in "abcd"]

    def choices(keys: list[bytes]) -> list[str]:
        strategy, random = harness.make(), _random()
        return [strategy.choose(members, random, key).name for key in keys]

    if harness.keyed:
        for number in range(20):
            chosen = set(choices([_keys(number)] * 20))
            assert len(chosen) == 1, f"{_keys(number)!r} leads to {sorted(chosen)}"
    else:
        without = choices([b""] * 60)
        assert choices([b"x"] * 60) == without, "the key made a difference"
        assert choices([_keys(number) for number in range(60)]) == without, "keys made a difference"


@STRATEGY.shows(MOVES)
async def only_keys_of_whoever_left_move(harness: StrategyHarness) -> None:
    if not harness.keyed:
        return
    strategy, random = harness.make(), _random()
    members = [Member(name) for name in "abcde"]

    def led_to(members: Sequence[Member]) -> dict[int, str]:
        return {number: strategy.choose(members, random, _keys(number)).name for number in range(200)}

    before = led_to(members)
    without = led_to([member for member in members if member.name != "c"])
    moved = [number for number, name in before.items() if name != "c" and without[number] != name]
    assert not moved, f"{len(moved)} of 200 keys moved though theirs had stayed"
    assert led_to([*members]) == before, "keys did not come back"


class StrategyContract(ContractTests[StrategyHarness]):
    """What every strategy must do; a subclass says which harness."""

    contract = STRATEGY
