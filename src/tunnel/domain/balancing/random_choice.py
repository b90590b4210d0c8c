"""Any, at random."""

from __future__ import annotations

from collections.abc import Sequence

from tunnel.domain.balancing.strategy import C, Candidate, Strategy
from tunnel.domain.balancing.weights import Lots, effective_weights
from tunnel.domain.random_source import RandomSource

__all__ = ["RandomChoice"]


class RandomChoice(Strategy):
    """Any candidate, at random in proportion to the weights. Remembers nothing, so servers need not agree on anything.

    Shares are even in the long run only: of n sessions on m equal members, one gets n/m give or take sqrt(n/m).
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
        return candidates[self._lots.draw(random)]
