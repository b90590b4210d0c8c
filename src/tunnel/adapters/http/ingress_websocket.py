"""WebSocket conversations of our own listener, from their handshake to the end of their connection.

1. ``IngressProtocol`` has read a handshake and hands its connection over; the target is asked in a task.
2. What the visitor sends before it is answered waits. An answer other than 101 refuses: it is written as a response of
   HTTP, and the connection is closed after it, for what the visitor sent meanwhile may be no HTTP.
3. After 101 the target takes the visitor's frames and its own are written from the call that sends them.
4. The visitor's close frame is handed to the target, whose answer to it is what the visitor gets: the close handshake
   is the two ends' own. The connection is closed when both have said close, or the one that has not takes too long.
5. A visitor that is lost, or says what is no WebSocket, cancels the target: the other end is told abnormally.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from tunnel.adapters.http.ingress_connection import Connection
from tunnel.adapters.http.ingress_exchange import Exchange
from tunnel.adapters.http.ingress_head import Upload
from tunnel.adapters.http.ingress_response import checked_acceptance
from tunnel.adapters.http.ingress_service import IngressService, VisitorStream
from tunnel.adapters.http.ingress_wire import render_switch
from tunnel.adapters.http.websocket_handshake import accept_token, accepted_fields, chosen, offered
from tunnel.adapters.http.websocket_hop import CLOSING_S, WebSocketHop, keep_alive
from tunnel.domain.envelopes import HttpRequest, HttpResponse, SessionPayload, WebSocketFrame, WebSocketOpcode
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.problem import problem
from tunnel.domain.websocket_close import GOING_AWAY, NORMAL, close_frame, closing
from tunnel.sockets.gathering import WRITELINES_PAUSES

if TYPE_CHECKING:
    from uvicorn.server import ServerState

__all__ = ["WebSocketVisitor"]

_CLOSE: Final = WebSocketOpcode.CLOSE.value

_EARLY_BYTES: Final = 64 * 1024
"""Of what a visitor sends before it is answered; with more no more is read."""

_FLUSH_STALL_S: Final = 60.0
"""How long the last bytes may wait without the visitor taking any, once the conversation is over."""


class WebSocketVisitor(WebSocketHop, VisitorStream, Connection):
    """One conversation, and the connection it has to itself.

    Args:
        transport: The connection; this becomes its protocol.
        head: The opening.
        key: The visitor's Sec-WebSocket-Key.
        early: What it has sent after the handshake.
        request_id: Name of the request; empty when it has none.
        peer: IP address of the visitor.
        service: Has the conversation handled.
        state: uvicorn's: the connection and its task register there.
    """

    __slots__ = (
        "_accepted",
        "_early",
        "_going",
        "_head",
        "_key",
        "_refusal",
        "_service",
        "_state",
        "_task",
        "_told",
        "_unsent_bytes",
        "_untaken_bytes",
        "cut_off",
        "error",
        "peer",
        "request_id",
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        *,
        head: HttpRequest,
        key: bytes,
        early: bytes,
        request_id: bytes,
        peer: str,
        service: IngressService,
        state: ServerState,
    ) -> None:
        super().__init__(transport, asked=True, max_message_bytes=service.settings.max_message_bytes)
        self._head = head
        self._key = key
        self.request_id = request_id
        self.peer = peer
        self._early = [early] if early else []
        self._service = service
        self._state = state
        self._accepted = False
        self._told = False
        """The target said close."""
        self._going = False
        self._unsent_bytes = 0
        """When it was last overdue: what the visitor had not taken."""
        self._untaken_bytes = 0
        """When it was last overdue: cost of what the target had not taken."""
        self._refusal: Exchange | None = None
        self.error: SessionError | None = None
        self.cut_off: SessionError | None = None
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Have the conversation handled. Once, when this is the transport's protocol."""
        self._state.connections.add(self)  # type: ignore[arg-type]  # it does as those of uvicorn do
        task = self._task = self._loop.create_task(self._serve())
        self._state.tasks.add(task)
        task.add_done_callback(self._state.tasks.discard)

    # -- the server's side

    @property
    def transport(self) -> asyncio.Transport:
        """The connection; for whoever drops it."""
        return self._transport

    def shutdown(self) -> None:
        """The server will close: a conversation goes on for as long as that takes."""

    def go_away(self) -> None:
        """Both ends are told 1001, and have ``CLOSING_S`` to agree; one that waits for its answer is cut off."""
        self.cut_off = SessionError(ErrorCode.PEER_LOST, "the server is shutting down")
        if not self._accepted or self._going or self.close_received:
            return
        self._going = True
        frame = close_frame(GOING_AWAY, "the server shuts down")
        self.say_close(frame)
        self._put(frame)
        self._discarding = True
        if self._reading_paused:
            self._read_on()
        self._expire(CLOSING_S)

    # -- the target's side

    @property
    def head(self) -> HttpRequest:
        return self._head

    @property
    def answered(self) -> bool:
        return self._told if self._refusal is None else self._refusal.answered

    async def receive(self) -> WebSocketFrame:
        if self.error is not None:
            raise self._why()
        frame = await self.take()
        if self.error is not None:
            raise self._why()
        if frame is None:
            # Whoever runs the target is being cancelled.
            raise SessionError(ErrorCode.CANCELLED, "the visitor left")
        return frame

    async def send(self, payload: SessionPayload) -> None:
        if self.error is not None:
            raise self._why()
        if type(payload) is WebSocketFrame and self._accepted:
            if payload.opcode == _CLOSE and not payload.payload:
                payload = close_frame(NORMAL)
            await self.say(payload)
            if self.error is not None:
                raise self._why()
            if payload.opcode == _CLOSE:
                self._told = True
                self._expire(CLOSING_S)
        elif self._refusal is not None:
            await self._refusal.send(payload)
        elif type(payload) is HttpResponse and not self._accepted and not payload.more:
            if payload.status == 101:
                self._accept(payload)
            elif payload.status >= 200:
                await self._refuse().send(payload)
        else:
            detail = f"{type(payload).__name__} in a WebSocket conversation"
            raise SessionError(ErrorCode.PROTOCOL_ERROR, "the upstream's answer is malformed", detail=detail)

    def reset(self, error: SessionError) -> None:
        if self._refusal is not None:
            self._refusal.reset(error)
        elif self.error is None and not self._told:
            self.error = error
            self.interrupt()

    # -- the service's side

    async def _serve(self) -> None:
        try:
            error = await self._service.handle(self)
        except BaseException:
            if not self.close_sent:
                self._transport.abort()
            raise
        finally:
            self._task = None
        if self.lost:
            if self._timer is not None:
                self._timer.cancel()
            return
        if error is not None:
            self._fail(error)
        if self._accepted:
            self._finish()

    def _fail(self, error: SessionError) -> None:
        if self._accepted:
            self.say_close(closing(error))
        elif self._refusal is not None and self._refusal.rules.started:
            self._transport.close()  # short of its end, which shows
        else:
            self._refuse().answer(problem(error, request_id=self.request_id))

    def _accept(self, response: HttpResponse) -> None:
        headers = checked_acceptance(response.headers, self.request_id)
        chosen(headers, offered(self._head.headers))
        self._accepted = True
        self.write(render_switch(accept_token(self._key), accepted_fields(headers)))
        keep_alive(self._transport)
        early, self._early = self._early, []
        if self._reading_paused:
            self._read_on()
        if early:
            super().data_received(b"".join(early))

    def _refuse(self) -> Exchange:
        if self._refusal is None:
            self._early.clear()
            head = replace(self._head, protocol="http", end=True)
            self._refusal = Exchange(
                self,
                head,
                Upload.NONE,
                http10=False,
                keep_alive=False,
                max_body_bytes=None,
                request_id=self.request_id,
                peer=self.peer,
            )
        return self._refusal

    def _finish(self) -> None:
        """The target is done, and a close frame was written."""
        if self.close_received:
            self._transport.close()
        else:
            self._linger()

    def _why(self) -> SessionError:
        """The reset's error, afresh: the same exception raised in two tasks would mix their tracebacks."""
        assert self.error is not None
        return SessionError(self.error.code, self.error.message, detail=self.error.detail)

    # -- the connection's side

    def data_received(self, data: bytes) -> None:
        """Called by the event loop."""
        if self._accepted:
            super().data_received(data)
        elif self._refusal is None:
            self._early.append(data)
            if sum(map(len, self._early)) > _EARLY_BYTES and not self._reading_paused:
                self._reading_paused = True
                self._transport.pause_reading()

    def eof_received(self) -> bool:
        """Called by the event loop. Nobody half-closes a WebSocket, so whoever says no more has left or is closing."""
        return False

    def resume_writing(self) -> None:
        """Called by the event loop."""
        super().resume_writing()
        if self._refusal is not None:
            self._refusal.wake_writer()

    def _closed_by_peer(self) -> None:
        if self._task is None:
            self._transport.close()  # that answers ours
        else:
            self._expire(CLOSING_S)

    def broke(self) -> None:
        if self._task is not None:
            if self._refusal is not None:
                self._refusal.reset(SessionError(ErrorCode.CANCELLED, "the visitor left"))
            self._task.cancel()
            if not self.lost:
                self._linger()
        elif not self.lost:
            self._transport.close()

    def overdue(self) -> None:
        """The other end does not answer the visitor's close frame, or the visitor ours."""
        self._timer = None
        unsent_bytes, before = self._transport.get_write_buffer_size(), self._unsent_bytes
        if self.answered and unsent_bytes:
            # A visitor that reads slowly is not cut off. One that does not read at all is not waited for.
            self._unsent_bytes = unsent_bytes
            if unsent_bytes == before:
                self._transport.abort()
            else:
                self._expire(_FLUSH_STALL_S)
            return
        if self._target_goes_on():
            self._expire(CLOSING_S)
            return
        if self.close_received:
            self.say_close(WebSocketFrame(_CLOSE, self.close_payload))
            self._told = True
            self._transport.close()
            self._expire(_FLUSH_STALL_S)
        else:
            self._transport.abort()
        if self._task is not None:
            self._task.cancel()

    def _target_goes_on(self) -> bool:
        """Whether the target has taken some, since this was last asked, of what the visitor said before its close."""
        untaken_bytes, before = self._inbox_bytes, self._untaken_bytes
        self._untaken_bytes = untaken_bytes
        return self._task is not None and self.close_received and 0 < untaken_bytes != before

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop, once. A target may go on to pass on the visitor's close frame, but not for ever."""
        self._state.connections.discard(self)
        super().connection_lost(exc)
        if self._task is not None and self.close_received:
            self._timer = self._loop.call_later(CLOSING_S, self._give_up)

    def _give_up(self) -> None:
        """The visitor has left after its close frame, which the target has not taken to its end yet."""
        self._timer = None
        if self._target_goes_on():
            self._timer = self._loop.call_later(CLOSING_S, self._give_up)
        elif self._task is not None:
            self._task.cancel()

    # -- the refusal's side

    @property
    def writing_paused(self) -> bool:
        return self._writing_paused

    def write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)
        else:
            self._writing_paused = True  # until the loss is told, which who only writes would never let happen

    def write_parts(self, parts: tuple[bytes, ...]) -> None:
        if not self._transport.is_closing():
            if WRITELINES_PAUSES:
                self._transport.writelines(parts)
            else:
                self._transport.write(b"".join(parts))
        else:
            self._writing_paused = True

    def read_on(self) -> None:
        """A handshake has no body."""

    def finished(self, exchange: Exchange) -> None:
        self._state.total_requests += 1
        if self._transport.can_write_eof():
            self._transport.write_eof()
            self._linger()  # closing with something unread would reset the connection, and cost the visitor the answer
        else:
            self._transport.close()
