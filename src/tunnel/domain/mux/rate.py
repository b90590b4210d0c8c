"""How often something may happen."""

from __future__ import annotations

__all__ = ["RateBudget"]


class RateBudget:
    """A token bucket.

    Args:
        burst: Tokens at most, and at first.
        per_second: Tokens gained per second.
        now: Seconds.
    """

    __slots__ = ("_at", "_burst", "_per_second", "_tokens")

    def __init__(self, *, burst: int, per_second: float, now: float) -> None:
        self._burst = burst
        self._per_second = per_second
        self._tokens = float(burst)
        self._at = now

    def spend(self, now: float) -> bool:
        """Take one token; False when there is none."""
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._per_second)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
