"""The same candidate for the same key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tunnel.domain.balancing.hash_ring import HashRing
from tunnel.domain.balancing.strategy import C, Candidate, Strategy
from tunnel.domain.balancing.weights import Lots, effective_weights
from tunnel.domain.random_source import RandomSource

__all__ = ["ConsistentHash"]

_SPARE_MEMBERS: Final = 64
"""Absent members that stay on the ring however few are present; 15 KiB each."""


class ConsistentHash(Strategy):
    """The same candidate for the same key, in every process, whatever order the candidates come in.

    When members come and go, only keys that they gain or lose move. See ``HashRing`` for how, and for how even shares
    are. Load is not bounded: a key that is asked for a lot is one candidate's business. A session without a key goes
    to any candidate, at random by weight.
    """

    __slots__ = ("_candidates", "_heaviest", "_lots", "_positions", "_ring", "_weights")

    _heaviest: int
    """The greatest weight of the candidates met last."""
    _lots: Lots

    def __init__(self) -> None:
        self._ring = HashRing()
        self._candidates: Sequence[Candidate] = ()
        self._positions: dict[str, int] = {}
        self._weights: dict[str, int] = {}

    def choose(self, candidates: Sequence[C], random: RandomSource, key: bytes = b"") -> C:
        if candidates is not self._candidates:
            self._meet(candidates)
        if not key:
            return candidates[self._lots.draw(random)]
        return candidates[self._positions[self._ring.owner(key, self._weights, self._heaviest)]]

    def _meet(self, candidates: Sequence[Candidate]) -> None:
        weights = effective_weights(candidates)
        self._lots = Lots(weights)
        self._heaviest = max(weights)
        self._positions = {candidate.name: position for position, candidate in enumerate(candidates)}
        self._weights = {name: weights[position] for name, position in self._positions.items() if weights[position]}
        self._ring.add(self._weights)
        # Absent members lengthen every search, so there are never more of them than of those present.
        if len(self._ring) > 2 * len(self._weights) + _SPARE_MEMBERS:
            self._ring.retain(self._weights)
        self._candidates = candidates
