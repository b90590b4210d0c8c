"""The machine's monotonic clock."""

from __future__ import annotations

import time

import anyio

from tunnel.ports.clock import Clock

__all__ = ["MonotonicClock"]


class MonotonicClock(Clock):
    """``time.monotonic``, on any event loop: the clock for production.

    asyncio's and uvloop's own clocks are the same one, at ten times the price of asking. Not for virtual time,
    of which it knows nothing.
    """

    now = staticmethod(time.monotonic)
    """Not a method that calls it: that would take twice as long, and each conversation asks ten times."""

    async def sleep(self, delay_s: float) -> None:
        await anyio.sleep(max(delay_s, 0.0))
