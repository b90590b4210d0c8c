"""An asyncio event loop on virtual time: when nothing can run, its clock jumps to the next timer.

What ``trio.testing.MockClock(autojump_threshold=0)`` is for trio. Not for code that waits for sockets or threads.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable

__all__ = ["VirtualLoop"]

_STUCK_S = 2.0
"""Real seconds that a loop without any timer waits for something from outside before it is called a deadlock."""


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self, jump: Callable[[float], None]) -> None:
        super().__init__()
        self._jump = jump

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            ready = super().select(_STUCK_S)
            if not ready:
                raise RuntimeError("every task waits, and no timer is set: a deadlock")
            return ready
        self._jump(timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """Starts at time 0."""

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_JumpingSelector(self._forward))

    def time(self) -> float:
        return self._now

    def _forward(self, delay_s: float) -> None:
        # A little further than asked for, since timers are due at a rounded sum.
        self._now += delay_s + 1e-9
