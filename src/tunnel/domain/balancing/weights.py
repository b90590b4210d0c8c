"""Weights as strategies apply them, and drawing lots by weight."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from tunnel.domain.balancing.strategy import Candidate
from tunnel.domain.random_source import RandomSource

__all__ = ["Lots", "effective_weights"]


def effective_weights(candidates: Sequence[Candidate]) -> list[int]:
    """The weight of each candidate; 1 for each when all have 0."""
    weights = [candidate.weight for candidate in candidates]
    return weights if any(weights) else [1] * len(weights)


class Lots:
    """As many lots as weights add up to: position 0 holds the first ``weights[0]`` of them, and so on.

    Args:
        weights: At least one is above 0; positions with 0 are never drawn.
    """

    __slots__ = ("_ends", "_total", "uniform", "weights")

    def __init__(self, weights: Sequence[int]) -> None:
        self.weights = weights
        self.uniform = min(weights) == max(weights)
        """Whether all weigh the same, so that drawing is a matter of position alone."""
        self._ends = list(accumulate(weights))
        self._total = self._ends[-1]

    def draw(self, random: RandomSource) -> int:
        """A position, in proportion to the weights."""
        if self.uniform:
            return int(random.random() * len(self.weights))
        return bisect_right(self._ends, int(random.random() * self._total))

    def draw_other(self, position: int, random: RandomSource) -> int:
        """A position other than ``position``, in proportion to the weights; the same if no other has any weight."""
        weight = self.weights[position]
        others = self._total - weight
        if not others:
            return position
        # Drawn from the lots of the others: those after it move up by what it holds.
        lot = int(random.random() * others)
        if lot >= self._ends[position] - weight:
            lot += weight
        return bisect_right(self._ends, lot)
