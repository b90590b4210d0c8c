"""Links over one WebSocket connection."""

from __future__ import annotations

import asyncio
from typing import Final

from websockets.asyncio.server import broadcast
from websockets.exceptions import ConcurrencyError, ConnectionClosed
from websockets.frames import CloseCode
from websockets.protocol import State

from tunnel.adapters.websocket.connection import CLOSE_TIMEOUT_S, Flow
from tunnel.domain.envelopes import Frame
from tunnel.domain.errors import LinkEnd, LinkError
from tunnel.domain.identity import PeerInfo
from tunnel.domain.messagepack import FrameError, decode_frame, encode_frame
from tunnel.ports.transport import Link

__all__ = ["WebSocketLink"]

_CLOSED_HERE: Final = "closed by this side"

_VIOLATIONS: Final = frozenset(
    {
        CloseCode.PROTOCOL_ERROR,
        CloseCode.UNSUPPORTED_DATA,
        CloseCode.INVALID_DATA,
        CloseCode.POLICY_VIOLATION,
        CloseCode.MESSAGE_TOO_BIG,
    }
)


class WebSocketLink(Link):
    """A link that sends each frame as one binary message.

    A cancelled ``send`` has sent nothing. A text message, a message that is no frame and one larger than a frame may
    be close the connection and are ``LinkEnd.VIOLATED``.

    Args:
        connection: After its opening handshake; the link owns it.
        peer: The far end.

    Source: RFC 6455 section 7.4.1 for close codes; docs/reference/protocol.md, ends of links.
    """

    def __init__(self, connection: Flow, peer: PeerInfo) -> None:
        self._connection = connection
        self._peer = peer
        self._own_end: tuple[LinkEnd, str] | None = None

    @property
    def peer(self) -> PeerInfo:
        return self._peer

    async def send(self, frame: Frame) -> None:
        connection = self._connection
        while not connection.writable.is_set() and self._own_end is None:
            await connection.writable.wait()
        if self._own_end is not None:
            raise LinkError(*self._own_end)
        if connection.state is not State.OPEN:
            await connection.wait_closed()
            raise self._end()
        try:
            broadcast((connection,), encode_frame(frame), raise_exceptions=True)
        except ExceptionGroup as exc:
            connection.wire.abort()
            raise LinkError(LinkEnd.BROKEN, "writing to the connection failed") from exc

    @property
    def ready(self) -> bool:
        connection = self._connection
        return connection.writable.is_set() and self._own_end is None and connection.state is State.OPEN

    def push(self, frame: Frame) -> None:
        try:
            broadcast((self._connection,), encode_frame(frame), raise_exceptions=True)
        except ExceptionGroup:
            # The next call finds the connection lost, and says so.
            self._connection.wire.abort()

    async def receive(self) -> Frame:
        if self._own_end is not None:
            raise LinkError(*self._own_end)
        try:
            message = await self._connection.recv()
            while self._own_end is not None:  # Closed meanwhile: what comes is discarded, here or by the closer.
                message = await self._connection.recv()
        except ConnectionClosed as exc:
            raise self._end() from exc
        if isinstance(message, str):
            raise await self._violated(CloseCode.UNSUPPORTED_DATA, "text message")
        try:
            return decode_frame(message)
        except FrameError as exc:
            raise await self._violated(CloseCode.INVALID_DATA, f"not a frame: {exc.why}") from exc

    async def aclose(self) -> None:
        self._end_here(LinkEnd.CLOSED, _CLOSED_HERE)
        await self._close(CloseCode.NORMAL_CLOSURE)

    def abort(self) -> None:
        self._end_here(LinkEnd.CLOSED, _CLOSED_HERE)
        self._connection.wire.abort()

    def _end_here(self, end: LinkEnd, reason: str) -> None:
        if self._own_end is None:
            self._own_end = (end, reason)
        self._connection.writable.set()

    async def _violated(self, code: CloseCode, reason: str) -> LinkError:
        self._end_here(LinkEnd.VIOLATED, reason)
        await self._close(code)
        return self._end()

    async def _close(self, code: CloseCode) -> None:
        # Connection.close has a timeout for the peer's answer, but none for what is buffered before its own words;
        # and that answer comes behind messages which nobody receives any more.
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S), asyncio.TaskGroup() as tasks:
                discarding = tasks.create_task(self._discard())
                await self._connection.close(code)
                discarding.cancel()
        except TimeoutError:
            pass  # The peer is gone or does not read; aborting is what is left.
        finally:
            self._connection.wire.abort()

    async def _discard(self) -> None:
        try:
            while True:
                await self._connection.recv()
        except (ConnectionClosed, ConcurrencyError):
            pass  # All is read, or a blocked receive does the same.

    def _end(self) -> LinkError:
        """How the connection, which is closed, came to be so."""
        if self._own_end is not None:
            return LinkError(*self._own_end)
        protocol = self._connection.protocol
        sent, received = protocol.close_sent, protocol.close_rcvd
        if sent is not None and not protocol.close_rcvd_then_sent and sent.code in _VIOLATIONS:
            return LinkError(LinkEnd.VIOLATED, f"closed by this side: {sent}")
        if received is None:
            return LinkError(LinkEnd.BROKEN, "the connection was lost")
        if received.code == CloseCode.NORMAL_CLOSURE:
            return LinkError(LinkEnd.ENDED, "closed by the peer")
        end = LinkEnd.VIOLATED if received.code in _VIOLATIONS else LinkEnd.BROKEN
        return LinkError(end, f"closed by the peer: {received}")
