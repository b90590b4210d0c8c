"""Telling a visitor that only says no more from one that has left.

Both look the same at first: the input ends. Somebody who has left answers what is sent with a reset, so we send.

1. The input ended while a response is due.
2. What was written meanwhile, or still waits to be, has the same effect as a probe. Else one byte is written that
   belongs to the response in any case.
3. The reset takes a round trip, and shows with the next write; so this is repeated, further and further apart.
4. Where no byte can be written, within a body of declared length that does not go on, the visitor counts as gone.

A visitor that leaves after these is found out with the next write.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

__all__ = ["Departure"]

_WAITS_S: Final = (0.0, 0.03, 0.1, 0.2, 0.4)
"""Seconds before each probe: whoever is near is found gone at once, and whoever is a round trip of 0.4 s away within a
second. Fewer than the bytes there are."""


class Departure:
    """Probes a connection whose input has ended.

    Args:
        loop: Of the connection.
        probe: Makes sure that something is sent; False when it cannot.
        depart: Called when that is so.
    """

    __slots__ = ("_depart", "_handle", "_loop", "_probe", "_waits_s")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, *, probe: Callable[[], bool], depart: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._probe = probe
        self._depart = depart
        self._waits_s = iter(_WAITS_S)
        self._handle: asyncio.TimerHandle = loop.call_later(next(self._waits_s), self._look)

    def close(self) -> None:
        """Do not probe any more."""
        self._handle.cancel()

    def _look(self) -> None:
        if not self._probe():
            self._depart()
            return
        wait_s = next(self._waits_s, None)
        if wait_s is not None:
            self._handle = self._loop.call_later(wait_s, self._look)
