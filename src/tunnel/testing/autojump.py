"""Virtual time: trio's clock that jumps to the next timer whenever everything waits, and the port that follows it."""

from __future__ import annotations

from typing import Any

import anyio

from tunnel.ports.clock import Clock

__all__ = ["AutojumpClock", "autojump_backend"]


class AutojumpClock(Clock):
    """The clock of the event loop that runs; hours of it take an instant where that loop is on virtual time.

    Everything of one loop agrees on the time, timers of anyio and of trio included. On an ordinary event loop it is an
    ordinary clock.
    """

    def now(self) -> float:
        return anyio.current_time()

    async def sleep(self, delay_s: float) -> None:
        await anyio.sleep(max(delay_s, 0.0))


def autojump_backend() -> tuple[str, dict[str, Any]]:
    """A trio event loop on virtual time, as anyio's ``anyio_backend`` fixture and ``anyio.run`` want it.

    Each call makes a clock that starts anew, so one result serves one loop. Nothing may wait for sockets or threads:
    the clock does not know of them, and jumps.

    Raises:
        ImportError: trio is not installed; the extra ``hextunnel[testing]`` has it.
    """
    from trio.testing import MockClock

    return "trio", {"clock": MockClock(autojump_threshold=0)}
