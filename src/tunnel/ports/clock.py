"""Time, as an argument to everything that needs it."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol

__all__ = ["Clock"]


class Clock(Protocol):
    """A monotonic clock."""

    @abstractmethod
    def now(self) -> float:
        """Seconds since an arbitrary start; never goes back. Cheap: called for every frame."""

    @abstractmethod
    async def sleep(self, delay_s: float) -> None:
        """Return after ``delay_s`` seconds; at once, but not without yielding, when it is not positive."""
