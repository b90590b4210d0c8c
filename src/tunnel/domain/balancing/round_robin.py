"""Each in turn."""

from __future__ import annotations

from collections.abc import Sequence

from tunnel.domain.balancing.strategy import C, Candidate, Strategy
from tunnel.domain.balancing.turns import Turns
from tunnel.domain.balancing.weights import effective_weights
from tunnel.domain.random_source import RandomSource

__all__ = ["RoundRobin"]


class RoundRobin(Strategy):
    """Each candidate in turn; those of weight 0 are passed over, other weights make no difference. See ``Turns``."""

    __slots__ = ("_turns",)

    def __init__(self) -> None:
        self._turns = Turns(_all_alike)

    def choose(self, candidates: Sequence[C], random: RandomSource, key: bytes = b"") -> C:
        return candidates[self._turns.take(candidates)]


def _all_alike(candidates: Sequence[Candidate]) -> list[int]:
    return [min(weight, 1) for weight in effective_weights(candidates)]
