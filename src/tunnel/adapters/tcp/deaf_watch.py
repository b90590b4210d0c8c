"""Finding connections that have died while nobody reads them.

An event loop learns of a reset by reading. It does not read a connection that is paused, because what came of it is not
taken yet, nor one whose input has ended. So these are looked at twice a second, all at once.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import Final, Protocol

from tunnel.adapters.tcp.socket_state import Watchable, failed

__all__ = ["Deaf", "DeafWatch"]

_LOOK_S: Final = 0.5
"""Whoever waits for a conversation is to know of its end within a second."""


class Deaf(Watchable, Protocol):
    """A connection that is not being read."""

    @abstractmethod
    def died(self) -> None:
        """The operating system says that it is dead."""


class DeafWatch:
    """Looks at the connections of one ingress or target that are not being read. No timer runs while there are none.

    Belongs to one event loop.
    """

    __slots__ = ("_deaf", "_timer")

    def __init__(self) -> None:
        self._deaf: set[Deaf] = set()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, connection: Deaf) -> None:
        """Look at ``connection`` from now on."""
        self._deaf.add(connection)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_LOOK_S, self._look)

    def discard(self, connection: Deaf) -> None:
        """Do not look at it any more. Without effect when it is not looked at."""
        self._deaf.discard(connection)
        if not self._deaf and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        for connection in failed(self._deaf):
            connection.died()
        if self._deaf:
            self._timer = asyncio.get_running_loop().call_later(_LOOK_S, self._look)
