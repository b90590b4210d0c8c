"""Where the domain gets its randomness from: an argument, so that every run can be repeated."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol

__all__ = ["RandomSource"]


class RandomSource(Protocol):
    """What ``random.Random`` offers of use here."""

    @abstractmethod
    def random(self) -> float:
        """A number in [0, 1)."""

    @abstractmethod
    def randrange(self, stop: int, /) -> int:
        """A whole number in [0, stop)."""
