"""What is balanced, and what balances it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Final, Protocol, TypeVar

from tunnel.domain.random_source import RandomSource

__all__ = ["MAX_WEIGHT", "C", "Candidate", "Strategy"]

MAX_WEIGHT: Final = 1000
"""Largest weight, of one candidate. Ratios beyond a thousand starve more than they balance."""


class Candidate(Protocol):
    """What can take a session: a client of a group, a target of an upstream."""

    @property
    @abstractmethod
    def name(self) -> str:
        """What it is known by for as long as it exists, through absences too: of a client ``principal/client_id``, of
        an upstream's target its URL. No two candidates of one choice share a name.
        """

    @property
    @abstractmethod
    def in_flight(self) -> int:
        """Sessions it is serving now."""

    @property
    @abstractmethod
    def weight(self) -> int:
        """Its share in relation to the others', from 0 to ``MAX_WEIGHT``; 1 unless configured.

        0 takes no sessions while another can: it is being emptied, or kept for emergencies. When all have 0, all count
        alike.
        """


C = TypeVar("C", bound=Candidate)


class Strategy(Protocol):
    """Picks one of the candidates.

    Serves one group or one upstream, and may be exchanged for another at any time. It may hold on to the candidates it
    was given last until it is asked again.
    """

    @abstractmethod
    def choose(self, candidates: Sequence[C], random: RandomSource, key: bytes = b"") -> C:
        """The candidate that takes the next session.

        Args:
            candidates: At least one; all of them may take it. The same object as before for as long as nobody came,
                went, or changed weight, and never modified: what is derived from it is kept by its identity. Those
                that stay keep their order from one sequence to the next, but any may be missing now and back later.
            random: Where a strategy gets its randomness from.
            key: Sessions with the same key belong together, for strategies that go by it. Empty: this one has none.
        """
