"""Deadlines of many things, watched by one timer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from time import monotonic
from typing import Final, Generic, TypeVar

__all__ = ["Deadlines"]

T = TypeVar("T", bound=Hashable)

_LEAST_WAIT_S: Final = 0.001
"""Event loops count in milliseconds and may be early by one."""


class Deadlines(Generic[T]):
    """Things with a deadline each, in the order in which they were added.

    Adding and removing cost a dictionary entry; there is a timer only while there may be something to watch. It looks
    at the oldest first and stops at one that is not due, so deadlines should be in the order of adding. One that is
    out of order may be noticed late, by as much as the ones before it last.

    Args:
        on_due: Called with each thing whose deadline passes; it is not among them any more.

    Attributes:
        due: When each is due, in order. To be looked at only.
    """

    __slots__ = ("_on_due", "_timer", "due")

    def __init__(self, on_due: Callable[[T], None]) -> None:
        self._on_due = on_due
        self.due: dict[T, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, thing: T, after_s: float) -> None:
        """Watch ``thing``, which is not among them; it is due in ``after_s`` seconds."""
        self.due[thing] = monotonic() + after_s
        if self._timer is None:
            self._wait(after_s)

    def discard(self, thing: T) -> None:
        """Watch ``thing`` no more; nothing happens if it is not among them."""
        self.due.pop(thing, None)

    def take_oldest(self) -> T:
        """Remove and return what was added first. There must be something."""
        thing = next(iter(self.due))
        del self.due[thing]
        return thing

    def take_newest(self) -> tuple[T, bool]:
        """Remove and return what was added last, and whether it is due already. There must be something."""
        thing, due = self.due.popitem()
        return thing, due <= monotonic()

    def take_all(self) -> list[T]:
        """Remove and return everything, and stop the timer."""
        things = list(self.due)
        self.due.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return things

    def _wait(self, after_s: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(max(after_s, _LEAST_WAIT_S), self._look)

    def _look(self) -> None:
        self._timer = None
        now = monotonic()
        while self.due:
            thing, due = next(iter(self.due.items()))
            if due > now:
                if self._timer is None:
                    self._wait(due - now)
                return
            del self.due[thing]
            self._on_due(thing)
