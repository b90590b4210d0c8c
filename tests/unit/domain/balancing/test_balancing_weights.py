"""Weights, and lots drawn by them."""

from __future__ import annotations

from dataclasses import dataclass

from balancing_kit import members
from hypothesis import assume, given
from hypothesis import strategies as st

from tunnel.domain.balancing.weights import Lots, effective_weights

some_weights = st.lists(st.integers(0, 4), min_size=1, max_size=8).filter(any)


@dataclass
class Sweep:
    """A random source that gives every one of ``total`` equal parts once."""

    total: int
    part: int = 0

    def random(self) -> float:
        self.part += 1
        return (self.part - 0.5) / self.total

    def randrange(self, stop: int, /) -> int:
        raise AssertionError("not drawn from")


@given(some_weights)
def test_every_position_has_as_many_lots_as_its_weight(weights: list[int]) -> None:
    total = sum(weights)
    source, lots = Sweep(total), Lots(weights)
    drawn = [lots.draw(source) for _ in range(total)]
    assert [drawn.count(position) for position in range(len(weights))] == weights


@given(some_weights, st.data())
def test_another_position_is_drawn_by_the_weights_of_the_others(weights: list[int], data: st.DataObject) -> None:
    position = data.draw(st.sampled_from([each for each, weight in enumerate(weights) if weight]))
    others = [0 if each == position else weight for each, weight in enumerate(weights)]
    assume(any(others))
    source, lots = Sweep(sum(others)), Lots(weights)
    drawn = [lots.draw_other(position, source) for _ in range(sum(others))]
    assert [drawn.count(each) for each in range(len(weights))] == others


def test_there_is_no_other_when_only_one_has_weight() -> None:
    assert Lots([0, 3, 0]).draw_other(1, Sweep(1)) == 1


@given(st.lists(st.integers(0, 3), min_size=1, max_size=5))
def test_weights_count_unless_all_are_zero(weights: list[int]) -> None:
    expected = weights if any(weights) else [1] * len(weights)
    assert effective_weights(members(len(weights), weights)) == expected
