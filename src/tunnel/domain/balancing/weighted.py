"""Each in turn, as often as its weight says."""

from __future__ import annotations

from collections.abc import Sequence

from tunnel.domain.balancing.strategy import C, Strategy
from tunnel.domain.balancing.turns import Turns
from tunnel.domain.balancing.weights import effective_weights
from tunnel.domain.random_source import RandomSource

__all__ = ["Weighted"]


class Weighted(Strategy):
    """Each candidate in turn, as often as its weight says, turns spread evenly.

    While candidates stay the same, in any W consecutive choices, W being the sum of weights, every candidate is chosen
    exactly as often as its weight says; after a change, from W choices later. See ``Turns``.
    """

    __slots__ = ("_turns",)

    def __init__(self) -> None:
        self._turns = Turns(effective_weights)

    def choose(self, candidates: Sequence[C], random: RandomSource, key: bytes = b"") -> C:
        return candidates[self._turns.take(candidates)]
