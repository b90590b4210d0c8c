"""One TCP connection, its two directions as chunks."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, cast

from tunnel.adapters.tcp.deaf_watch import Deaf
from tunnel.adapters.tcp.shared import CHUNK_BYTES, READ_BYTES, Shared
from tunnel.adapters.tcp.socket_state import prepare, reset_on_close, unread
from tunnel.domain.envelopes import BodyChunk, SessionPayload
from tunnel.domain.errors import ErrorCode, SessionError

__all__ = ["TcpConnection"]

_READ_AHEAD_BYTES: Final = 4 * CHUNK_BYTES
"""Read and not taken, from which on nothing more is read."""

_READ_ON_BYTES: Final = CHUNK_BYTES
"""Left of it when reading goes on: stopping is not for each chunk."""

_FLUSH_STALL_S: Final = 60.0
"""How long the last bytes may wait without the peer taking any, once the conversation is over."""


class TcpConnection(asyncio.BufferedProtocol, Deaf):
    """Reads no faster than ``receive`` is called, and writes no faster than the peer takes it.

    ``receive`` and ``send`` may run at the same time in two tasks, each in at most one. Each direction ends by itself;
    ``finish`` or ``reset`` ends the connection, and one of them must be called.

    Args:
        shared: With the other connections of its owner.
        on_made: Called with the connection when it is there.

    Attributes:
        closed: Done when the socket is.
        on_lost: Called when it was lost, or reset, before it was finished. What had arrived may still be received.
    """

    __slots__ = (
        "_buffer",
        "_buffered_bytes",
        "_error",
        "_heard_end",
        "_loop",
        "_lost",
        "_on_made",
        "_parts",
        "_reader",
        "_reading_paused",
        "_shared",
        "_transport",
        "_writer",
        "_writing_paused",
        "closed",
        "fileno",
        "on_lost",
        "said_end",
    )

    def __init__(self, shared: Shared, *, on_made: Callable[[TcpConnection], None] | None = None) -> None:
        self._shared = shared
        self._on_made = on_made
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._buffer = shared.buffer()
        self._parts: deque[bytes] = deque()
        self._buffered_bytes = 0
        self._reading_paused = False
        self._writing_paused = False
        self._heard_end = False
        self._lost = False
        self._error: SessionError | None = None
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self.on_lost: Callable[[], object] | None = None
        self.said_end = False
        self.fileno = -1

    # -- the two directions

    @property
    def error(self) -> SessionError | None:
        """Why it failed, afresh: one exception raised in two tasks would mix their tracebacks. None: it has not."""
        error = self._error
        return None if error is None else SessionError(error.code, error.message, detail=error.detail)

    @property
    def transport(self) -> asyncio.Transport:
        """The event loop's; for its addresses."""
        return self._transport

    async def receive(self) -> BodyChunk:
        """What has arrived, at most ``READ_BYTES``; the last has ``end`` set. Cancelling loses nothing.

        Raises:
            SessionError: ``cancelled``: the connection was reset. What came before has been returned.
        """
        while not self._parts:
            if self._error is not None:
                raise cast(SessionError, self.error)
            if self._heard_end:
                return BodyChunk(b"", end=True)
            self._reader = self._loop.create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        return self._take()

    async def send(self, payload: SessionPayload) -> None:
        """Write; waits while the peer is not ready for more. Cancelled, nothing was written.

        Raises:
            SessionError: ``cancelled``: the connection was reset; ``protocol_error``: this is not part of a TCP
                conversation.
        """
        if type(payload) is not BodyChunk:
            kind = type(payload).__name__
            raise SessionError(ErrorCode.PROTOCOL_ERROR, f"{kind} is not part of a TCP conversation")
        # A connection that failed under a write is closing, and its loss is told in the next round of the event loop,
        # which who only writes would never let come.
        while (self._writing_paused or self._transport.is_closing()) and self._error is None and not self._lost:
            self._writer = self._loop.create_future()
            try:
                await self._writer
            finally:
                self._writer = None
        if self._error is not None:
            raise cast(SessionError, self.error)
        if self._lost:
            raise SessionError(ErrorCode.CANCELLED, "the connection is closed")
        if payload.data:
            self._transport.write(payload.data)
        if payload.end:
            self._end()

    # -- its end

    async def finish(self) -> None:
        """Close when the peer has taken all that was written. When it takes none of it for a minute, reset.

        Cancelled, the connection is reset.
        """
        self.on_lost = None
        if self._lost:
            return
        self._transport.close()
        try:
            left_bytes = -1
            while not self._lost and left_bytes != (left_bytes := self._transport.get_write_buffer_size()):
                await asyncio.wait((self.closed,), timeout=_FLUSH_STALL_S)
        finally:
            if not self._lost:
                self.reset()

    def reset(self) -> None:
        """End both directions at once; the peer is told by a reset. Idempotent."""
        self._fail("the connection was reset")

    # -- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop."""
        self._transport = cast(asyncio.Transport, transport)
        self.fileno = transport.get_extra_info("socket").fileno()
        self._shared.open.add(self)
        try:
            prepare(self._transport)
        except OSError:
            # Reset before we got to know of it.
            self.died()
        if self._on_made is not None:
            self._on_made(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Called by the event loop."""
        left_bytes = _READ_AHEAD_BYTES - self._buffered_bytes
        return self._buffer if left_bytes >= READ_BYTES else self._buffer[: max(left_bytes, CHUNK_BYTES)]

    def buffer_updated(self, nbytes: int) -> None:
        """Called by the event loop: so many bytes of the buffer are new."""
        if self._error is not None:
            return
        self._parts.append(bytes(self._buffer[:nbytes]))
        self._buffered_bytes += nbytes
        if self._buffered_bytes >= _READ_AHEAD_BYTES and not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()
            self._shared.watch.add(self)
        _wake(self._reader)

    def eof_received(self) -> bool:
        """Called by the event loop: the peer says no more. Our direction goes on."""
        self._heard_end = True
        self._shared.watch.add(self)
        _wake(self._reader)
        return True

    def pause_writing(self) -> None:
        """Called by the event loop."""
        self._writing_paused = True

    def resume_writing(self) -> None:
        """Called by the event loop."""
        self._writing_paused = False
        _wake(self._writer)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop, or by whoever dialled in its place. Idempotent."""
        if self._lost:
            return
        self._lost = True
        self._shared.watch.discard(self)
        self._shared.open.discard(self)
        if self._error is None and not (self._heard_end and self.said_end):
            if exc is not None and not self._heard_end:
                self._parts.extend(unread(self._transport))
            self._error = _reset_by_peer(exc)
        _wake(self.closed)
        self._tell()

    def died(self) -> None:
        """The operating system says that it was reset, which nobody has read."""
        self._fail("the peer reset the connection")

    # -- inside

    def _take(self) -> BodyChunk:
        parts = self._parts
        data = parts.popleft()
        if parts and len(data) + len(parts[0]) <= CHUNK_BYTES:
            data = self._joined(data)
        self._buffered_bytes -= len(data)
        if self._reading_paused and self._buffered_bytes <= _READ_ON_BYTES:
            self._read_on()
        return BodyChunk(data, end=self._heard_end and not parts and self._error is None)

    def _joined(self, first: bytes) -> bytes:
        """``first`` and what fits of the rest: much that came in small pieces is sent on in large ones."""
        parts = self._parts
        joined = [first]
        left_bytes = CHUNK_BYTES - len(first)
        while parts and len(parts[0]) <= left_bytes:
            part = parts.popleft()
            left_bytes -= len(part)
            joined.append(part)
        return b"".join(joined)

    def _read_on(self) -> None:
        self._reading_paused = False
        if not self._transport.is_closing():
            self._transport.resume_reading()
            if not self._heard_end:
                self._shared.watch.discard(self)

    def _end(self) -> None:
        self.said_end = True
        try:
            if not self._transport.is_closing():
                self._transport.write_eof()
        except OSError:
            # Reset in this moment; the event loop would find that out by reading, which may be paused.
            self.died()

    def _fail(self, why: str) -> None:
        if self._error is None:
            self._error = SessionError(ErrorCode.CANCELLED, why)
        if not self._lost:
            reset_on_close(self._transport)
            self._transport.abort()
        self._tell()

    def _tell(self) -> None:
        _wake(self._reader)
        _wake(self._writer)
        on_lost, self.on_lost = self.on_lost, None
        if on_lost is not None:
            on_lost()


def _reset_by_peer(cause: Exception | None) -> SessionError:
    return SessionError(ErrorCode.CANCELLED, "the peer reset the connection", detail=str(cause or ""))


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
