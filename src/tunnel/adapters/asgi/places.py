"""How many calls of an application there may be at the same time."""

from __future__ import annotations

from collections import deque

import anyio

from tunnel.domain.errors import ErrorCode, SessionError

__all__ = ["Places"]


class Places:
    """A bounded number of places, and a bounded queue for them.

    Args:
        places: How many there are.
        max_waiting: Who comes when so many wait is turned away.
        wait_s: Seconds that anybody waits.
    """

    __slots__ = ("_free", "_max_waiting", "_wait_s", "_waiting")

    def __init__(self, places: int, *, max_waiting: int, wait_s: float) -> None:
        self._free = places
        self._max_waiting = max_waiting
        self._wait_s = wait_s
        self._waiting: deque[anyio.Event] = deque()

    async def take(self) -> None:
        """Take a place; waits while there is none, those who came first first.

        Raises:
            SessionError: ``overloaded``: none became free in time, or too many wait.
        """
        if self._free:
            self._free -= 1
            return
        if len(self._waiting) >= self._max_waiting:
            raise SessionError(ErrorCode.OVERLOADED, "the application has too many requests waiting")
        mine = anyio.Event()
        self._waiting.append(mine)
        try:
            with anyio.move_on_after(self._wait_s):
                await mine.wait()
        except BaseException:
            self._withdraw(mine)
            raise
        if not mine.is_set():
            self._waiting.remove(mine)
            raise SessionError(ErrorCode.OVERLOADED, "the application is busy")

    def give_back(self) -> None:
        """Free a place, or hand it to whoever waits longest."""
        if self._waiting:
            self._waiting.popleft().set()
        else:
            self._free += 1

    def _withdraw(self, mine: anyio.Event) -> None:
        """Whoever was given a place in the moment it was cancelled passes it on."""
        if mine.is_set():
            self.give_back()
        else:
            self._waiting.remove(mine)
