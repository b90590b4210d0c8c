"""The connections to one upstream: how many there may be, which are idle, and who waits for one.

A connection is lent to one exchange at a time. There are places for a fixed number of connections:

1. A request takes the idle connection that was used last, so that as few as needed stay warm.
2. Without one it takes a free place, and dials.
3. Without that it waits, first come first served, until a connection is given back or a place is. Nobody passes those
   who wait: what is given back goes to the first of them.
4. A place is free when its connection has ended, or when dialling has failed.
"""

from __future__ import annotations

import asyncio
from typing import TypeAlias

from tunnel.adapters.http.upstream_connection import UpstreamConnection
from tunnel.adapters.http.upstream_deadlines import Deadlines
from tunnel.domain.errors import ErrorCode, SessionError

__all__ = ["UpstreamPool"]

_Waiter: TypeAlias = "asyncio.Future[UpstreamConnection | None]"


class UpstreamPool:
    """Lends connections, and places to make some.

    Args:
        keepalive_s: A connection idle for longer is not used again; nor is one idle for as long as its upstream allows.
            0 keeps none.
        max_idle: Most idle connections; the oldest makes room.
        max_connections: Places.
        max_waiting: Requests that wait at the same time.
        wait_s: Seconds that each waits at most.
    """

    def __init__(
        self, *, keepalive_s: float, max_idle: int, max_connections: int, max_waiting: int, wait_s: float
    ) -> None:
        self._keepalive_s = keepalive_s
        self._max_idle = max_idle
        self._free_places = max_connections
        self._max_waiting = max_waiting
        self._wait_s = wait_s
        self._idle = Deadlines(UpstreamConnection.abort)
        self._waiting: Deadlines[_Waiter] = Deadlines(_give_up)
        self._open: set[UpstreamConnection] = set()
        self._placed: set[UpstreamConnection] = set()
        self._emptied: asyncio.Future[None] | None = None
        self._closed = False

    @property
    def open_connections(self) -> int:
        """Connections whose socket is open, idle or not."""
        return len(self._open)

    @property
    def idle_connections(self) -> int:
        """Connections waiting for a request."""
        return len(self._idle.due)

    @property
    def waiting(self) -> int:
        """Requests waiting for a connection."""
        return len(self._waiting.due)

    # -- connections that are there ------------------------------------------------------------------------------

    def checkout(self) -> UpstreamConnection | None:
        """The idle connection used last, or None when there is none young and sound enough."""
        while self._idle.due:
            connection, due = self._idle.take_newest()
            if not due and connection.usable:
                return connection
            connection.abort()
        return None

    def give_back(self, connection: UpstreamConnection) -> None:
        """The exchange is over: keep the connection if that is so on both sides and it is fit for another."""
        keep_s = self._keepalive_s
        fit = connection.rest()
        if connection.idle_limit_s < keep_s:
            keep_s = connection.idle_limit_s
        if not fit or keep_s <= 0 or self._closed:
            connection.abort()
        elif self._waiting.due and (waiter := self._first_in_line()) is not None:
            waiter.set_result(connection)
        else:
            self._idle.add(connection, keep_s)
            if len(self._idle.due) > self._max_idle:
                self._idle.take_oldest().abort()

    # -- places --------------------------------------------------------------------------------------------------

    def reserve(self) -> bool:
        """Take a place for a connection that is to be dialled; ``place`` or ``vacate`` follows."""
        if self._free_places <= 0:
            return False
        self._free_places -= 1
        return True

    async def wait(self) -> UpstreamConnection | None:
        """Wait in line. Returns a connection, or None when a place was reserved instead.

        Raises:
            SessionError: ``overloaded``: too many wait, or this one has for too long; ``refused``: closed meanwhile.
        """
        if len(self._waiting.due) >= self._max_waiting:
            raise SessionError(ErrorCode.OVERLOADED, "too many requests wait for a connection to the upstream")
        waiter: _Waiter = asyncio.get_running_loop().create_future()
        self._waiting.add(waiter, self._wait_s)
        try:
            return await waiter
        except asyncio.CancelledError:
            self._waiting.discard(waiter)
            if not waiter.cancelled() and waiter.exception() is None:
                self._return_unused(waiter.result())
            raise

    def replace(self, connection: UpstreamConnection) -> None:
        """Close a connection and reserve its place."""
        if connection in self._placed:
            self._placed.remove(connection)
        else:
            self._free_places -= 1  # lost already: for a moment there may be one too many
        connection.abort()

    def place(self, connection: UpstreamConnection) -> None:
        """The connection that a place was reserved for is there; ``lost`` ends that."""
        if connection.lost:
            self.vacate()
        else:
            self._open.add(connection)
            self._placed.add(connection)

    def vacate(self) -> None:
        """Free a reserved place; the first in line gets it."""
        if self._free_places >= 0 and (waiter := self._first_in_line()) is not None:
            waiter.set_result(None)
        else:
            self._free_places += 1

    def lost(self, connection: UpstreamConnection) -> None:
        """The socket of a connection is closed; called by connections, also by those that were never placed."""
        self._open.discard(connection)
        self._idle.discard(connection)
        if connection in self._placed:
            self._placed.remove(connection)
            self.vacate()
        if not self._open and self._emptied is not None and not self._emptied.done():
            self._emptied.set_result(None)

    async def aclose(self) -> None:
        """Close every connection, busy ones too, refuse who waits, and return when all sockets are closed."""
        self._closed = True
        self._idle.take_all()
        for waiter in self._waiting.take_all():
            waiter.set_exception(SessionError(ErrorCode.REFUSED, "the upstream is closed"))
        while self._open:
            self._emptied = asyncio.get_running_loop().create_future()
            for connection in tuple(self._open):
                connection.abort()
            await self._emptied

    def _first_in_line(self) -> _Waiter | None:
        """Remove and return it; those that were cancelled and have not noticed yet are passed over."""
        while self._waiting.due:
            waiter = self._waiting.take_oldest()
            if not waiter.done():
                return waiter
        return None

    def _return_unused(self, connection: UpstreamConnection | None) -> None:
        if connection is None:
            self.vacate()
        else:
            self.give_back(connection)


def _give_up(waiter: _Waiter) -> None:
    if not waiter.done():
        message = "all connections to the upstream were busy for too long"
        waiter.set_exception(SessionError(ErrorCode.OVERLOADED, message))
