"""A deadline that moves with every request and costs no timer of the event loop each time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["Deadline"]


class Deadline:
    """Calls back once, at the time it was last set to.

    Moving it further away leaves the timer of the loop alone: when that fires early, it is set anew. Belongs to one
    loop.

    Args:
        loop: Tells the time.
        callback: Called without arguments when the time has come.
    """

    __slots__ = ("_at", "_callback", "_handle", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
        self._loop = loop
        self._callback = callback
        self._at: float | None = None
        self._handle: asyncio.TimerHandle | None = None

    @property
    def pending(self) -> bool:
        """Whether it is set and has not come."""
        return self._at is not None

    def set(self, delay_s: float) -> None:
        """Call back ``delay_s`` seconds from now, instead of when it was set to before."""
        self._at = at = self._loop.time() + delay_s
        if self._handle is None:
            self._handle = self._loop.call_at(at, self._fire)
        elif self._handle.when() > at:
            self._handle.cancel()
            self._handle = self._loop.call_at(at, self._fire)

    def clear(self) -> None:
        """Do not call back."""
        self._at = None

    def close(self) -> None:
        """Do not call back, and let go of the loop and of what would be called."""
        self._at = None
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _fire(self) -> None:
        self._handle = None
        if self._at is None:
            return
        if self._at > self._loop.time():
            self._handle = self._loop.call_at(self._at, self._fire)
            return
        self._at = None
        self._callback()
