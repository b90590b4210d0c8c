"""How often something may happen: so many at once, and so many a second.

A bucket holds up to ``burst`` tokens and gains ``rate`` of them a second; each thing that happens takes one. It is kept
as the time at which it will be full again, so that one number says everything (the generic cell rate algorithm):

1. With tokens for all of ``burst`` that time has passed, and counts as now.
2. Taking a token moves it ``1 / rate`` into the future.
3. It may lie ``burst / rate`` ahead at most; what would take it further is refused, and told how long to wait.

Source: ITU-T I.371, annex A; Envoy and Traefik have the same two numbers, average and burst.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

__all__ = ["TokenBuckets"]


class TokenBuckets:
    """One bucket for each key. Those that are full again are forgotten, and at worst those unused for longest.

    Args:
        rate: Tokens a second, more than 0.
        burst: Tokens that a full bucket has, at least 1.
        max_keys: Buckets kept. Whoever can make up keys could have its own forgotten, but nobody else's memory grows.
    """

    __slots__ = ("_ahead_s", "_full_at", "_interval_s", "_max_keys")

    def __init__(self, rate: float, burst: int, *, max_keys: int) -> None:
        self._interval_s: Final = 1 / rate
        self._ahead_s: Final = burst / rate
        self._max_keys: Final = max_keys
        self._full_at: OrderedDict[bytes, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, key: bytes, now: float) -> float:
        """Take a token from the bucket of ``key``.

        Args:
            key: Whose.
            now: The clock's time.

        Returns:
            0 if there was one; else the seconds after which there will be, and nothing was taken.
        """
        full_at = self._full_at
        until = max(full_at.get(key, now), now) + self._interval_s
        # Sums of intervals are not exact: a burst of ten is not to end at nine for the last bit of one of them.
        wait_s = until - now - self._ahead_s
        if wait_s > self._interval_s * 1e-6:
            full_at.move_to_end(key)
            return wait_s
        full_at[key] = until
        full_at.move_to_end(key)
        self._forget(now)
        if len(full_at) > self._max_keys:
            full_at.popitem(last=False)
        return 0.0

    def _forget(self, now: float) -> None:
        """Drop up to two buckets that are full, from those unused for longest: one is made at a time."""
        for _ in range(2):
            key = next(iter(self._full_at))
            if self._full_at[key] > now:
                return
            del self._full_at[key]
