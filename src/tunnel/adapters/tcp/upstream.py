"""The TCP target: each conversation has a connection of its own."""

from __future__ import annotations

import asyncio
from functools import partial

import anyio

from tunnel.adapters.tcp.connection import TcpConnection
from tunnel.adapters.tcp.dialer import Permits, TcpDialer
from tunnel.adapters.tcp.relay import relay
from tunnel.adapters.tcp.shared import Shared
from tunnel.domain.envelopes import TcpOpen
from tunnel.domain.errors import ErrorCode, SendingStopped, SessionError
from tunnel.ports.target import Stream, UpstreamTarget

__all__ = ["TcpUpstream"]


class TcpUpstream(UpstreamTarget):
    """Dials for each conversation, at once: servers that speak first are not kept waiting.

    Runs on asyncio or uvloop only, on one event loop.

    Args:
        target: ``tcp://HOST:PORT``.
        permits: Asked for each address that is dialled.
        connect_timeout_s: Seconds for the name and the connection together.
        max_connections: At the same time; further conversations are ``overloaded``.

    Raises:
        ConfigurationError: ``target`` is malformed.
    """

    def __init__(
        self, target: str, *, permits: Permits, connect_timeout_s: float = 5.0, max_connections: int = 1000
    ) -> None:
        self._target = target
        self._dialer = TcpDialer(target, permits=permits, connect_timeout_s=connect_timeout_s)
        self._max_connections = max_connections
        self._shared = Shared()
        self._visits: set[anyio.CancelScope] = set()
        self._closed = False
        self._left = asyncio.Event()
        """Set when it is closed and without conversations."""

    @property
    def open_connections(self) -> int:
        """Connections open now."""
        return len(self._shared.open)

    async def handle(self, stream: Stream) -> None:
        """Answer one conversation.

        A reset of either side reaches the other. Cancelling resets the connection, and so does a visitor that wants no
        more of what comes.

        Raises:
            SessionError: ``upstream_unreachable``, ``upstream_timeout``, ``forbidden``; ``overloaded``: there are as
                many connections as there may be; ``refused``: closed, and nothing was dialled.
        """
        if not isinstance(stream.head, TcpOpen):
            raise SessionError(ErrorCode.PROTOCOL_ERROR, "this upstream takes TCP conversations only")
        if self._closed:
            raise SessionError(ErrorCode.REFUSED, "the upstream is closed", detail=self._target)
        if len(self._visits) >= self._max_connections:
            raise SessionError(ErrorCode.OVERLOADED, "the upstream has too many connections", detail=self._target)
        with anyio.CancelScope() as visit:
            self._visits.add(visit)
            try:
                await self._answer(stream)
            finally:
                self._visits.discard(visit)
                if self._closed and not self._visits:
                    self._left.set()
        if visit.cancelled_caught:
            raise SessionError(ErrorCode.CANCELLED, "the upstream was closed", detail=self._target)

    async def aclose(self) -> None:
        """Close every connection; conversations under way fail. Returns when the sockets are closed. Idempotent."""
        self._closed = True
        for visit in tuple(self._visits):
            visit.cancel()
        if self._visits:
            await self._left.wait()
        if self._shared.open:
            await asyncio.wait([connection.closed for connection in self._shared.open])

    async def _answer(self, stream: Stream) -> None:
        connection = await self._dialer.dial(partial(TcpConnection, self._shared))
        try:
            await relay(stream, connection)
            await connection.finish()
        except SessionError as exc:
            if exc.code is not ErrorCode.CANCELLED:
                raise
            # Cut off by either end, which is theirs to do, and nothing that went wrong here.
            stream.reset(exc)
        except SendingStopped:
            return
        finally:
            connection.reset()
