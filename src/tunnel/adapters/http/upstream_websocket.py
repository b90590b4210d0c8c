"""WebSocket conversations with a web server: a connection each, and a handshake on it.

1. The handshake is sent with the fields of the visitor's. An answer other than 101 is passed on as the response of HTTP
   that it is, and the connection closed.
2. After 101, a task writes what the visitor says, while what the web server says is sent to the visitor.
3. A close frame of either side is passed on, and the other's answer to it back. One that the web server begins is
   answered here at once, as RFC 6455 section 5.5.1 wants.
4. A web server that is lost, or says what is no WebSocket, has the visitor told 1014. That ends the conversation in
   order, after all that came before: it was accepted, so nothing of it speaks against the target.
5. A visitor that is lost has the connection closed without a word.
"""

from __future__ import annotations

import asyncio

from tunnel.adapters.http.upstream_connection import UpstreamConnection
from tunnel.adapters.http.upstream_deadlines import Deadlines
from tunnel.adapters.http.upstream_dialer import UpstreamDialer
from tunnel.adapters.http.upstream_envelopes import ResponseEnvelope
from tunnel.adapters.http.upstream_handshake import HandshakeConnection, HandshakeReader, render_handshake
from tunnel.adapters.http.upstream_request import HeadRenderer
from tunnel.adapters.http.upstream_websocket_hop import UpstreamHop
from tunnel.adapters.http.websocket_handshake import accepted_fields, check_switched, new_key, offered
from tunnel.adapters.http.websocket_hop import keep_alive
from tunnel.domain.envelopes import HttpRequest, HttpResponse, WebSocketFrame
from tunnel.domain.errors import ErrorCode, SendingStopped, SessionError
from tunnel.ports.target import Stream
from tunnel.sockets.task_end import end_task

__all__ = ["WebSocketUpstream"]


class WebSocketUpstream:
    """Has WebSocket conversations with one web server. Belongs to the event loop (asyncio's) it is first used on.

    Args:
        label: The web server's address, for error details.
        dialer: Opens connections.
        heads: Writes the heads of requests.
        first_bytes: Watches handshakes that are sent and unanswered.
        first_byte_timeout_s: Seconds from the handshake to its answer; None: no limit.
        max_message_bytes: Largest message that is taken from the web server.
        max_header_bytes: Largest head of an answer.
        max_headers: Most fields of one.
    """

    def __init__(
        self,
        *,
        label: str,
        dialer: UpstreamDialer,
        heads: HeadRenderer,
        first_bytes: Deadlines[UpstreamConnection],
        first_byte_timeout_s: float | None,
        max_message_bytes: int,
        max_header_bytes: int,
        max_headers: int,
    ) -> None:
        self._label = label
        self._dialer = dialer
        self._heads = heads
        self._first_bytes = first_bytes
        self._first_byte_timeout_s = first_byte_timeout_s
        self._max_message_bytes = max_message_bytes
        self._max_header_bytes = max_header_bytes
        self._max_headers = max_headers
        self._open: set[HandshakeConnection | UpstreamHop] = set()
        self._emptied: asyncio.Future[None] | None = None
        self._closed = False

    @property
    def open_connections(self) -> int:
        """Connections open now."""
        return len(self._open)

    async def handle(self, stream: Stream, head: HttpRequest) -> None:
        """Have one conversation; as ``HttpUpstream.handle``."""
        try:
            hop = await self._shake_hands(stream, head)
            if hop is not None:
                try:
                    await _converse(stream, hop)
                finally:
                    hop.leave()
        except SendingStopped:
            return

    async def aclose(self) -> None:
        """Close every connection; conversations under way fail. Returns when the sockets are closed. Idempotent."""
        self._closed = True
        while self._open:
            self._emptied = asyncio.get_running_loop().create_future()
            for each in tuple(self._open):
                each.abort()
            await self._emptied

    # -- connections

    async def _shake_hands(self, stream: Stream, head: HttpRequest) -> UpstreamHop | None:
        """Open a connection; accepted, it is returned and the visitor told, else the visitor has the answer whole."""
        key = new_key()
        handshake = render_handshake(self._heads, head, key)
        offers = offered(head.headers)
        connection = await self._dial()
        try:
            connection.ask(handshake, head_request=False, whole=True)
            answer = await _next(connection)
            if connection.accepted is None:
                await stream.send(answer)
                while not answer.end:
                    answer = await _next(connection)
                    await stream.send(answer)
                connection.abort()
                return None
            check_switched(connection.accepted, key, offers)
            await stream.send(HttpResponse(101, accepted_fields(connection.accepted)))
            if connection.lost:
                raise SessionError(ErrorCode.UPSTREAM_UNREACHABLE, "the upstream was lost", detail=self._label)
            return self._hop(connection)
        except BaseException:
            connection.abort()
            raise

    async def _dial(self) -> HandshakeConnection:
        connection = await self._dialer.dial(self._connection)
        if not connection.lost:
            self._open.add(connection)
        if self._closed:
            connection.abort()
            raise SessionError(ErrorCode.REFUSED, "the upstream is closed")
        return connection

    def _connection(self) -> HandshakeConnection:
        return HandshakeConnection(
            label=self._label,
            response=HandshakeReader(max_header_bytes=self._max_header_bytes, max_headers=self._max_headers),
            on_lost=self._lost,  # type: ignore[arg-type]  # told of those that were made here
            first_bytes=self._first_bytes,
            first_byte_timeout_s=self._first_byte_timeout_s,
        )

    def _hop(self, connection: HandshakeConnection) -> UpstreamHop:
        transport, rest = connection.yield_transport()
        hop = UpstreamHop(transport, on_lost=self._lost, max_message_bytes=self._max_message_bytes)
        self._open.discard(connection)
        self._open.add(hop)
        transport.set_protocol(hop)
        keep_alive(transport)
        transport.resume_reading()
        if rest:
            hop.data_received(rest)  # which may stop reading again
        return hop

    def _lost(self, connection: HandshakeConnection | UpstreamHop) -> None:
        self._open.discard(connection)
        if not self._open and self._emptied is not None and not self._emptied.done():
            self._emptied.set_result(None)


async def _next(connection: HandshakeConnection) -> ResponseEnvelope:
    """The next envelope of the answer to a handshake."""
    envelope = None
    while envelope is None:
        await connection.arrival()
        envelope = connection.take()
    return envelope


async def _converse(stream: Stream, hop: UpstreamHop) -> None:
    """Pass on what either side says, until the web server has said its last."""
    upload = asyncio.get_running_loop().create_task(_upload(stream, hop))
    upload.add_done_callback(hop.upload_ended)
    try:
        end = False
        while not end:
            frame = await hop.take() or hop.last_words()
            end = frame.end
            await stream.send(frame)
    finally:
        await end_task(upload)


async def _upload(stream: Stream, hop: UpstreamHop) -> None:
    """Write what the visitor says, up to its close frame."""
    while True:
        payload = await stream.receive()
        if type(payload) is not WebSocketFrame:
            kind = type(payload).__name__
            raise SessionError(ErrorCode.PROTOCOL_ERROR, f"{kind} is not part of a WebSocket conversation")
        await hop.say(payload)
        if payload.end:
            hop.expect_close(payload)
            return
