"""Several conversations in one message, where a message costs as much as a request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

__all__ = ["ENOUGH_ENVELOPES", "Gathering"]

_ROUNDS: Final = 16
"""Of the event loop, until the next frame is made. Where nothing else is going on they are over at once, and where much
is, they bring company: a time would be too long for the one or too short for the other."""

_ENOUGH: Final = 4
"""Conversations for which a frame need not wait for more: with more of them a message costs each little less."""

ENOUGH_ENVELOPES: Final = 2 * _ENOUGH
"""In a frame; behind one of more the next waits for nobody, as company comes by itself. Of one conversation a frame has
one envelope or two."""

_MOST_IN_VAIN: Final = 15
"""Frames that are not waited for at most, after waits that were in vain."""


class Gathering:
    """Has the next frame wait for company, as long as company is to be had.

    A message of gRPC's costs both ends together some 180 us of CPU whatever its size, and a frame that leaves as soon
    as one conversation has something to say has company under load only by chance (docs/performance.md). Who waited in
    vain does not the next time, nor the next three times after the next, and so on, so that one conversation that is by
    itself does not keep the event loop busy.
    """

    __slots__ = ("_in_vain", "_skipped")

    def __init__(self) -> None:
        self._in_vain = 0
        self._skipped = 0

    async def wait(self, waiting: Callable[[], float]) -> None:
        """Return when enough conversations are ``waiting``, or no more are to be expected."""
        if self._skipped < self._in_vain:
            self._skipped += 1
            return
        self._skipped = 0
        loop = asyncio.get_running_loop()
        left, count = _ROUNDS, waiting()
        while left and count < _ENOUGH:
            over: asyncio.Future[int] = loop.create_future()
            loop.call_soon(_round, over, left - 1, waiting)
            left = await over
            # Before this goes on a crowd may have left without it, and a few be there instead.
            count = waiting()
        self._in_vain = 0 if count > 1 else min(2 * self._in_vain + 1, _MOST_IN_VAIN)


def _round(over: asyncio.Future[int], left: int, waiting: Callable[[], float]) -> None:
    """Be over with as many rounds as are left once enough are waiting, or none is left."""
    if over.done():
        return  # whoever waited was cancelled
    if left and waiting() < _ENOUGH:
        over.get_loop().call_soon(_round, over, left - 1, waiting)
    else:
        over.set_result(left)
