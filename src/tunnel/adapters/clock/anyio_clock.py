"""The event loop's clock."""

from __future__ import annotations

import anyio

from tunnel.ports.clock import Clock

__all__ = ["AnyioClock"]


class AnyioClock(Clock):
    """The clock of the running event loop: the one to use where time is virtual, as on trio's ``MockClock``."""

    def now(self) -> float:
        return anyio.current_time()

    async def sleep(self, delay_s: float) -> None:
        await anyio.sleep(max(delay_s, 0.0))
