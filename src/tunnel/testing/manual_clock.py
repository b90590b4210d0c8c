"""A clock that stands still until it is told to go on."""

from __future__ import annotations

import math
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Final

import anyio
import anyio.lowlevel

from tunnel.ports.clock import Clock

__all__ = ["ManualClock"]


_USUAL_ROUNDS: Final = 20
"""Rounds of the event loop after which most of what was woken waits again."""


class ManualClock(Clock):
    """Time that passes when the test says so, on any event loop anyio runs on.

    It moves only what takes its time from a ``Clock``. What sets timers of the event loop, as servers and clients do,
    is moved by a loop on virtual time: see ``AutojumpClock``.

    Belongs to one event loop.

    Args:
        start_s: What ``now`` is at first, in seconds.
    """

    def __init__(self, start_s: float = 0.0) -> None:
        self._now = start_s
        self._order = count()
        self._sleepers: list[tuple[float, int, anyio.Event]] = []

    def now(self) -> float:
        return self._now

    async def sleep(self, delay_s: float) -> None:
        if delay_s <= 0:
            await anyio.lowlevel.checkpoint()
            return
        sleeper = (self._now + delay_s, next(self._order), anyio.Event())
        heappush(self._sleepers, sleeper)
        try:
            await sleeper[2].wait()
        finally:
            if not sleeper[2].is_set():
                self._sleepers.remove(sleeper)
                heapify(self._sleepers)

    @property
    def sleeping(self) -> int:
        """How many tasks sleep now."""
        return len(self._sleepers)

    @property
    def next_wake_s(self) -> float | None:
        """When the first of them wakes, in terms of ``now``; None when nobody sleeps."""
        return self._sleepers[0][0] if self._sleepers else None

    async def advance(self, delta_s: float) -> None:
        """Let ``delta_s`` seconds pass, and return when everything that they set in motion waits again.

        1. Whatever runs now runs until it waits, so that what is about to sleep does.
        2. Time goes to the next moment at which somebody wakes, and no further. That task is woken, and runs until it
           waits, and so does whatever it wakes. It may sleep again. Of those who wake at the same moment the one that
           fell asleep first goes first.
        3. That is repeated until nobody is left who wakes within ``delta_s``; then time goes to its end.

        So a loop that sleeps for a second runs ten times in ten seconds, and sees ten times. What is woken and then
        computes in a thread, or waits for a socket, is not waited for.

        Raises:
            ValueError: ``delta_s`` is negative or no number; clocks never go back.
        """
        if not 0 <= delta_s < math.inf:
            raise ValueError(f"expected a number of seconds that is not negative, got {delta_s!r}")
        until = self._now + delta_s
        await _quiet()
        while self._sleepers and self._sleepers[0][0] <= until:
            self._now, _, woken = heappop(self._sleepers)
            woken.set()
            await _quiet()
        self._now = until


async def _quiet() -> None:
    """Return when every other task waits."""
    # On asyncio a task that is found running is given a tenth of a second, so most should have come to rest before.
    for _ in range(_USUAL_ROUNDS):
        await anyio.lowlevel.checkpoint()
    await anyio.wait_all_tasks_blocked()
