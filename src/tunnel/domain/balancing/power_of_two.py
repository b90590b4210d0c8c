"""The better of two picked at random."""

from __future__ import annotations

from collections.abc import Sequence

from tunnel.domain.balancing.strategy import C, Candidate, Strategy
from tunnel.domain.balancing.weights import Lots, effective_weights
from tunnel.domain.random_source import RandomSource

__all__ = ["PowerOfTwo"]


class PowerOfTwo(Strategy):
    """The less busy, for its weight, of two different candidates picked at random by weight.

    Nearly as even as asking all of them, at the cost of two, and without the herd that all servers asking all of them
    would send to the same idle one. When both are equally busy it is the one picked first; so idle candidates share by
    weight.
    """

    __slots__ = ("_candidates", "_lots")

    _lots: Lots
    """Of the candidates met last."""

    def __init__(self) -> None:
        self._candidates: Sequence[Candidate] = ()

    def choose(self, candidates: Sequence[C], random: RandomSource, key: bytes = b"") -> C:
        if candidates is not self._candidates:
            self._lots = Lots(effective_weights(candidates))
            self._candidates = candidates
        lots = self._lots
        first = lots.draw(random)
        second = lots.draw_other(first, random)
        one, other = candidates[first], candidates[second]
        # in_flight / weight of each, multiplied out.
        if other.in_flight * lots.weights[first] < one.in_flight * lots.weights[second]:
            return other
        return one
