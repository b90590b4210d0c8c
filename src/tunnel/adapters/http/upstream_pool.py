"""The connections to one upstream: those that are idle, and all that are open."""

from __future__ import annotations

import asyncio

from tunnel.adapters.http.upstream_connection import UpstreamConnection

__all__ = ["UpstreamPool"]


class UpstreamPool:
    """Keeps idle connections for reuse, the last used first, so that as few as needed stay warm.

    Ages are compared when a connection is asked for; a timer, one for all, closes those that nobody asks for.

    Args:
        keepalive_s: A connection idle for longer is not used again. 0 keeps none.
        max_idle: Most idle connections; the oldest makes room.
    """

    def __init__(self, *, keepalive_s: float, max_idle: int) -> None:
        self._keepalive_s = keepalive_s
        self._max_idle = max_idle
        self._loop: asyncio.AbstractEventLoop | None = None
        self._idle: dict[UpstreamConnection, None] = {}  # ordered, the last used at the end
        self._open: set[UpstreamConnection] = set()
        self._sweep: asyncio.TimerHandle | None = None
        self._emptied: asyncio.Future[None] | None = None

    @property
    def open_connections(self) -> int:
        """Connections whose socket is open, idle or not."""
        return len(self._open)

    @property
    def idle_connections(self) -> int:
        """Connections waiting for a request."""
        return len(self._idle)

    def adopt(self, connection: UpstreamConnection) -> None:
        """Take note of a new connection; ``forget`` ends that."""
        self._loop = connection.loop
        self._open.add(connection)

    def forget(self, connection: UpstreamConnection) -> None:
        """The connection is lost."""
        self._open.discard(connection)
        self._idle.pop(connection, None)
        if not self._open and self._emptied is not None and not self._emptied.done():
            self._emptied.set_result(None)

    def checkout(self) -> UpstreamConnection | None:
        """The idle connection used last, or None when there is none young and sound enough."""
        if not self._idle or self._loop is None:
            return None
        now = self._loop.time()
        while self._idle:
            connection, _ = self._idle.popitem()
            if connection.usable:
                if now - connection.idle_since < self._keepalive_s:
                    return connection
                connection.abort()
        return None

    def put(self, connection: UpstreamConnection) -> None:
        """Keep a connection whose exchange is over."""
        loop = connection.loop  # asking for the running loop costs a system call in CPython 3.11
        connection.rest(loop.time())
        if self._keepalive_s <= 0 or self._max_idle <= 0 or not connection.usable or connection not in self._open:
            connection.abort()
            return
        if len(self._idle) >= self._max_idle:
            self._drop(next(iter(self._idle)))
        self._idle[connection] = None
        if self._sweep is None:
            self._sweep = loop.call_later(self._keepalive_s, self._sweep_idle)

    async def aclose(self) -> None:
        """Close every connection, busy ones too, and return when their sockets are closed."""
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        self._idle.clear()
        while self._open:
            self._emptied = asyncio.get_running_loop().create_future()
            for connection in tuple(self._open):
                connection.abort()
            await self._emptied

    def _drop(self, connection: UpstreamConnection) -> None:
        del self._idle[connection]
        connection.abort()

    def _sweep_idle(self) -> None:
        """Close what is too old, and come again when the oldest of the rest will be."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._sweep = None
        for connection in tuple(self._idle):
            left_s = connection.idle_since + self._keepalive_s - now
            if left_s > 0:
                self._sweep = loop.call_later(left_s, self._sweep_idle)
                return
            self._drop(connection)
