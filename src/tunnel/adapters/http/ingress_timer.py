"""A deadline that moves with every request and costs no timer of the event loop each time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum
from typing import Final

__all__ = ["Deadline", "Due"]


class Due(Enum):
    """What a connection waits for."""

    NOTHING = "nothing"
    HEAD = "head"
    """A head to be complete, or the first to begin."""
    REQUEST = "request"
    """Another request to begin."""
    UPLOAD = "upload"
    """The target to take what has been read of a body."""
    END = "end"
    """The visitor to have sent or dropped what nobody wants, and to have read its answer."""


_NOTHING: Final = Due.NOTHING
"""Members of an enum are slow to look up, and this is in the way of every request."""


class Deadline:
    """Calls back once, at the time it was last set to.

    Moving it further away leaves the timer of the loop alone: when that fires early, it is set anew. Belongs to one
    loop.

    Args:
        loop: Tells the time.
        callback: Called with what was due when the time has come, and nothing is due any more.
    """

    __slots__ = ("_at", "_callback", "_handle", "_loop", "due")

    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callable[[Due], None]) -> None:
        self._loop = loop
        self._callback = callback
        self._at: float | None = None
        self._handle: asyncio.TimerHandle | None = None
        self.due = _NOTHING
        """What it is for."""

    def set(self, due: Due, delay_s: float) -> None:
        """Call back ``delay_s`` seconds from now, for ``due`` and nothing that it was set for before."""
        self.due = due
        self._at = at = self._loop.time() + delay_s
        if self._handle is None:
            self._handle = self._loop.call_at(at, self._fire)
        elif self._handle.when() > at:
            self._handle.cancel()
            self._handle = self._loop.call_at(at, self._fire)

    def clear(self) -> None:
        """Do not call back: nothing is due."""
        self.due = _NOTHING
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
        due = self.due
        self.clear()
        self._callback(due)
