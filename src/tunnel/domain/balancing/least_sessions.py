"""The least busy of all."""

from __future__ import annotations

from collections.abc import Sequence

from tunnel.domain.balancing.strategy import C, Candidate, Strategy
from tunnel.domain.balancing.weights import Lots, effective_weights
from tunnel.domain.random_source import RandomSource

__all__ = ["LeastSessions"]


class LeastSessions(Strategy):
    """The candidate with the fewest sessions for its weight; one of these at random by weight when there are several.

    Asks every candidate every time. With hundreds of them, or several servers that would all find the same one idle,
    ``PowerOfTwo`` does nearly as well.
    """

    __slots__ = ("_candidates", "_uniform", "_weighted")

    _uniform: bool
    """Whether all of the candidates met last weigh the same."""

    def __init__(self) -> None:
        self._candidates: Sequence[Candidate] = ()
        self._weighted: list[tuple[int, int]] = []
        """Position and weight of every candidate whose weight is not 0."""

    def choose(self, candidates: Sequence[C], random: RandomSource, key: bytes = b"") -> C:
        if candidates is not self._candidates:
            weights = effective_weights(candidates)
            self._weighted = [(position, weight) for position, weight in enumerate(weights) if weight]
            self._uniform = min(weights) == max(weights)
            self._candidates = candidates
        if self._uniform:
            return _least(candidates, random)
        return self._least_for_weight(candidates, random)

    def _least_for_weight(self, candidates: Sequence[C], random: RandomSource) -> C:
        # Equal fractions are equal as floats too, since division rounds correctly.
        loads = [candidates[position].in_flight / weight for position, weight in self._weighted]
        least = min(loads)
        idlest = [each for each, load in zip(self._weighted, loads, strict=True) if load == least]
        position, _ = idlest[Lots([weight for _, weight in idlest]).draw(random)]
        return candidates[position]


def _least(candidates: Sequence[C], random: RandomSource) -> C:
    loads = [candidate.in_flight for candidate in candidates]
    least = min(loads)
    if loads.count(least) == 1:
        return candidates[loads.index(least)]
    idlest = [position for position, load in enumerate(loads) if load == least]
    return candidates[idlest[int(random.random() * len(idlest))]]
