"""Connections of our own listener: uvicorn's httptools protocol without its ASGI, and mended where it falls short.

The parser's callbacks become an ``Exchange`` each, which the target is given in a task of the connection; the response
is written from the call that sends it. Besides being faster than ASGI's messages, this way:

- A malformed request is answered with a problem document, and never in the middle of another response.
- A head that does not end is refused with 431 before it fills memory, and one that does not come is not waited for:
  half of one is answered with 408, none with nothing.
- Trailers are kept apart from the head. What comes in a body without being body, trailers and chunk headers, is bounded
  as a head is: the parser keeps a field until it is complete.
- Requests that wait behind another are bounded: one read can hold thousands.
- A visitor that ends its input after a request gets its answer; one that has left cancels its target.
- An upload that its target leaves waiting is given up at ``upload_stall_s``: until it is read, nobody can tell whether
  the visitor is still there.
- After an upgrade that is not taken up, the connection goes on as HTTP/1.1. A WebSocket handshake ends it as such: a
  ``WebSocketVisitor`` takes the connection over, when the requests before it are answered.
- After a response that left request body unread, what still comes of it is dropped for a while before the connection
  is closed, since closing at once would reset it and cost the visitor the response.

Relies on these of uvicorn, which tests pin: ``HttpToolsProtocol`` makes ``parser``, ``flow`` and ``client``, keeps
``server_state.connections`` and ``server_state.tasks``, and calls ``shutdown``.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections import deque
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, assert_never

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from tunnel.adapters.http.fields import pairs, trailer_fields
from tunnel.adapters.http.ingress_departure import Departure
from tunnel.adapters.http.ingress_exchange import Connection, Exchange
from tunnel.adapters.http.ingress_head import (
    HeadersTooLarge,
    Unsupported,
    Upload,
    protocol_asked,
    read_head,
    refusal,
)
from tunnel.adapters.http.ingress_link import check_link, link_handshake
from tunnel.adapters.http.ingress_response import ResponseRules
from tunnel.adapters.http.ingress_service import IngressService
from tunnel.adapters.http.ingress_target import read_target
from tunnel.adapters.http.ingress_timer import Deadline
from tunnel.adapters.http.ingress_websocket import WebSocketVisitor
from tunnel.adapters.http.ingress_wire import render_head
from tunnel.adapters.http.ingress_workers import RequestWorkers
from tunnel.domain.envelopes import HttpRequest
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.link_entry import LINK_PATH
from tunnel.domain.problem import problem

if TYPE_CHECKING:
    from uvicorn.protocols.http.flow_control import FlowControl

    from tunnel.ports.ingress_links import IngressLinks

__all__ = ["IngressProtocol"]

_LINGER_S: Final = 30.0
"""How long the rest of an unwanted upload is read and dropped, at most; as long as nginx does."""

_LINGER_QUIET_S: Final = 5.0
"""How long, when nothing comes of it."""

_MAX_WAITING: Final = 32
"""Requests that may wait for their turn; more than clients that pipeline at all are known to send."""

_READ_AHEAD_REQUESTS: Final = 8
"""With that many waiting no more is read, so that clients who pipeline more are slowed down and not turned away."""

_READ_AHEAD_BYTES: Final = 64 * 1024
"""Of a body; with more no more is read until the target takes it."""

_RESET: Final = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
"""SO_LINGER on, for 0 seconds: closing resets the connection."""

_UNKNOWN: Final = HttpRequest("", b"")
"""The head of what is no request."""

_VERSIONS: Final = frozenset({"1.0", "1.1"})

_LINK_PATH: Final = LINK_PATH.encode()


class _Part(Enum):
    """What of a request the next byte belongs to."""

    NONE = "none"
    """The next byte is the first of a request."""
    HEAD = "head"
    REST = "rest"
    """Body, chunk headers, trailers."""


class _Due(Enum):
    """What the connection's deadline is for."""

    NOTHING = "nothing"
    HEAD = "head"
    """A head to be complete, or the first to begin."""
    REQUEST = "request"
    """Another request to begin."""
    UPLOAD = "upload"
    """The target to take what has been read of a body."""
    END = "end"
    """The visitor to have sent or dropped what nobody wants, and to have read its answer."""


_NONE: Final = _Part.NONE
_HEAD: Final = _Part.HEAD
_REST: Final = _Part.REST
_NOTHING: Final = _Due.NOTHING
_REQUEST: Final = _Due.REQUEST
_END: Final = _Due.END
_SWITCH: Final = Upload.SWITCH
"""Members of an enum are slow to look up, and these are in the way of every request."""


class IngressProtocol(HttpToolsProtocol, Connection):
    """One connection of a visitor.

    Args:
        config: uvicorn's.
        server_state: uvicorn's: connections and tasks register there.
        app_state: uvicorn's; not used.
        service: Handles the requests.
    """

    head_timeout_s = 10.0
    """From the connection being made, or a head beginning that is not complete in the same read, to its end."""

    flow: FlowControl

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        service: IngressService,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._service = service
        self._peer = ""
        self._url = b""
        self._fields: list[bytes] = []
        self._part = _NONE
        self._fruitless_bytes = 0
        """Received since anything was complete: a head, or a piece of body."""
        self._latest: Exchange | None = None
        """Whose body comes next; None when nobody wants it."""
        self._running: Exchange | None = None
        """Whose response comes next, or is under way."""
        self._waiting: deque[Exchange] = deque()
        self._workers = RequestWorkers(self.loop, self.tasks, serve=self._serve, following=self._next)
        self._deadline = Deadline(self.loop, self._overdue)
        self._due = _NOTHING
        self._linger_until = 0.0
        self._deaf = False
        """The input cannot be made sense of any more, or is not ours to make sense of."""
        self._key = b""
        """Of a WebSocket handshake that has been read; there is no request after it."""
        self._early = b""
        """What came after it."""
        self._link: tuple[IngressLinks, bytes] | None = None
        """Who is to take over the connection, and the handshake, if it asks for a link."""
        self._departure: Departure | None = None
        self._moved = False
        """Something was written since this was last cleared."""

    # -- asyncio's side

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._peer = self.client[0] if self.client else ""
        self._await(_Due.HEAD, self.head_timeout_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self._deadline.close()
        if self._departure is not None:
            self._departure.close()
        self._depart()
        self._workers.close()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            self._linger_on()
            return
        self._fruitless_bytes += len(data)
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = data[upgrade.args[0] :]
                if self._key:
                    self._early = data
                    self._deaf = True
                    self.flow.pause_reading()
                elif data:  # not taken up: what follows is HTTP/1.1 still
                    continue
            except httptools.HttpParserError as error:
                self._advance()
                self._refuse(*_reason(error))
                return
            break
        if self._waiting and self._running is None:
            self._advance()
        if self._part is _NONE:
            return
        if self._fruitless_bytes > self._service.settings.max_header_bytes:
            self._refuse(SessionError(ErrorCode.TOO_LARGE, "the header fields are too large"), 431)
        elif self._part is _HEAD and self._due is not _Due.HEAD:
            self._await(_Due.HEAD, self.head_timeout_s)

    def eof_received(self) -> bool:  # type: ignore[override]
        """The visitor says no more: what it has asked for completely is answered."""
        if self._due is _END or self.transport.is_closing() or self.scheme == "https":
            return False  # neither event loop can end TLS in one direction only
        if self._part is not _NONE:
            self._refuse(SessionError(ErrorCode.BAD_REQUEST, "the request ends before it is complete"), 400)
            if self.transport.is_closing():
                return True
        last = self._last()
        if last is None:
            return False
        last.keep_alive = False
        self._moved = False
        self._departure = Departure(self.loop, probe=self._probe, depart=self.transport.abort)
        return True

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._running is not None:
            self._running.wake_writer()
        else:
            self._advance()

    def shutdown(self) -> None:
        """Called by the server: close, when what has been asked for is answered."""
        last = self._last()
        if last is None:
            self.transport.close()
        else:
            last.keep_alive = False

    # -- the parser's side

    def on_message_begin(self) -> None:
        self._part = _HEAD
        self._fruitless_bytes = 0
        self._url = b""
        self._fields = []

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        fields = self._fields
        fields.append(name.lower())
        fields.append(value.strip(b" \t"))  # the parser keeps blanks at the end (RFC 9110 section 5.5)

    def on_headers_complete(self) -> None:
        fields = tuple(self._fields)
        self._fields = []  # for trailers
        self._part = _REST
        self._fruitless_bytes = 0
        if self._due is _END or self.transport.is_closing():
            self._latest = None
            return
        if len(self._waiting) >= _MAX_WAITING:
            raise _PipelineFull
        self._due = _NOTHING
        self._deadline.clear()
        parser = self.parser
        method = parser.get_method()
        version = parser.get_http_version()
        settings = self._service.settings
        request_id, fields = settings.identify(fields, self._peer)
        refused = wrong = None
        try:
            if version not in _VERSIONS:
                raise Unsupported("only HTTP/1.0 and HTTP/1.1 are spoken here", status=505)
            head, upload = read_head(
                read_target(self._url, method),
                fields,
                method=method.decode(),
                version=version,
                scheme=self.scheme or "http",
                peer=self._peer,
                settings=settings,
            )
            if settings.links is not None and head.path == _LINK_PATH:
                check_link(head, upload, settings.links)
                self._link = settings.links, link_handshake(fields)
        except SessionError as error:
            # Whatever else a target may be, it may hold a password.
            path = self._url.partition(b"?")[0] if self._url[:1] == b"/" else b""
            head = HttpRequest(method.decode(), path, protocol=protocol_asked(fields))
            upload, wrong = Upload.STREAMED, error
            refused = refusal(error, request_id=request_id)
        exchange = Exchange(
            self,
            head,
            upload,
            http10=version == "1.0",
            # How a request that was refused ends is not certain.
            keep_alive=refused is None and parser.should_keep_alive(),
            max_body_bytes=settings.max_body_bytes,
            request_id=request_id,
            peer=self._peer,
        )
        exchange.refusal = refused
        exchange.error = wrong
        if upload is _SWITCH:
            self._key = next(value for name, value in pairs(fields) if name == b"sec-websocket-key")
        self._latest = exchange
        self._waiting.append(exchange)
        if len(self._waiting) > _READ_AHEAD_REQUESTS:
            self.flow.pause_reading()  # does nothing when it is

    def on_body(self, body: bytes) -> None:
        self._fruitless_bytes = 0
        exchange = self._latest
        if exchange is None or exchange.answered:
            if self._due is _END:
                self._linger_on()
            return
        exchange.feed(body)
        if self._is_full() and not self.flow.read_paused:
            self.flow.pause_reading()
            self._moved = False
            stall_s = self._service.settings.upload_stall_s
            if stall_s:
                self._await(_Due.UPLOAD, stall_s)

    def on_message_complete(self) -> None:
        exchange = self._latest
        if exchange is None:
            if self._due is _END:
                self.transport.close()
        elif not exchange.uploaded:
            trailers = tuple(self._fields)
            settings = self._service.settings
            if len(trailers) // 2 > settings.max_headers or sum(map(len, trailers)) > settings.max_header_bytes:
                raise HeadersTooLarge(ErrorCode.TOO_LARGE, "the trailer fields are too large")
            exchange.feed_end(trailer_fields(trailers))
        self._part = _NONE

    # -- the exchange's side

    @property
    def writing_paused(self) -> bool:
        return self.flow.write_paused

    def write(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(data)
            self._moved = True
        else:
            self._lose()

    def write_parts(self, parts: tuple[bytes, ...]) -> None:
        if not self.transport.is_closing():
            self.transport.writelines(parts)
            self._moved = True
        else:
            self._lose()

    def _lose(self) -> None:
        """Have who goes on writing wait for the loss to be told, which it might never let the event loop do."""
        self.flow.pause_writing()

    def read_on(self) -> None:
        if self.flow.read_paused:
            if self._due is _Due.UPLOAD:
                self._due = _NOTHING
                self._deadline.clear()
            self._resume_reading()

    def finished(self, exchange: Exchange) -> None:
        self._running = None
        if self._latest is exchange and exchange.uploaded:
            self._latest = None
        self.server_state.total_requests += 1
        self.read_on()
        if not exchange.keep_alive:
            self._close_after(exchange)
        elif self._waiting:
            # The worker takes it up at once, unless the target stays with what it has answered.
            self.loop.call_soon(self._advance)
        elif self._due is _NOTHING:
            self._await(_REQUEST, self.timeout_keep_alive)

    # -- handling requests

    def _advance(self) -> None:
        """Have the next request handled, if there is one and it is its turn."""
        exchange = self._next()
        if exchange is not None:
            self._workers.submit(exchange)

    def _next(self) -> Exchange | None:
        """Take up the next request, if it is its turn, answering what is refused."""
        waiting = self._waiting
        while waiting and self._running is None and not self.flow.write_paused and not self.transport.is_closing():
            exchange = self._running = waiting.popleft()
            if self.flow.read_paused:
                self._resume_reading()
            if exchange.refusal is None and not exchange.head.end:
                if self._key and exchange is self._latest:
                    self._hand_over(exchange)
                    return None
                exchange.begin()
            if exchange.refusal is None:
                return exchange
            self._tell(exchange.error, exchange.refusal.status, exchange)
            exchange.answer(exchange.refusal)
        return None

    def _tell(self, error: SessionError | None, status: int, exchange: Exchange) -> None:
        """A request is refused that no target has seen."""
        if error is not None:
            self._service.refused(error, status, exchange.head, request_id=exchange.request_id, peer=self._peer)

    def _hand_over(self, exchange: Exchange) -> None:
        """Let a conversation have the connection to itself; this is told of nothing any more."""
        self._deadline.close()
        self._workers.close()
        if self._departure is not None:
            self._departure.close()
        self._running = self._latest = None
        self.server_state.connections.discard(self)
        del self.parser  # it holds this, and is held by it
        if self._link is not None:
            self._hand_over_link(*self._link)
            return
        visitor = WebSocketVisitor(
            self.transport,
            head=exchange.head,
            key=self._key,
            early=self._early,
            request_id=exchange.request_id,
            peer=self._peer,
            service=self._service,
            state=self.server_state,
        )
        self.transport.set_protocol(visitor)
        visitor.begin()
        self.transport.resume_reading()

    def _hand_over_link(self, links: IngressLinks, handshake: bytes) -> None:
        if links.accepting:
            links.take(self.transport, handshake=handshake, early=self._early)
        else:
            self.transport.close()  # they ended while an answer to an earlier request was under way

    async def _serve(self, exchange: Exchange) -> None:
        exchange.given = True
        try:
            error = await self._service.handle(exchange)
        except BaseException:
            if not exchange.answered:
                self.transport.abort()
            raise
        if error is None:
            return
        if exchange.rules.started:
            self._running = None
            self._cut(exchange)
        else:
            if error.code is ErrorCode.BAD_REQUEST:
                exchange.keep_alive = False  # a visitor that we misunderstand may have meant what follows otherwise too
            exchange.answer(problem(error, request_id=exchange.request_id))

    def _cut(self, exchange: Exchange) -> None:
        """End the connection so that the response is seen not to be whole."""
        if exchange.ends_with_connection:
            # Only a reset tells. What of the response is still on its way is lost to it.
            accepted = self.transport.get_extra_info("socket")
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.transport.abort()
        else:
            self.transport.close()  # what was sent arrives

    def _depart(self) -> None:
        """Nobody waits for an answer any more."""
        running, self._running = self._running, None
        self._latest = None
        self._waiting.clear()
        if running is not None:
            # What the target says while it is being cancelled would wait for a visitor that is not there.
            running.error = running.error or SessionError(ErrorCode.CANCELLED, "the visitor left")
            self._workers.cancel()

    def _last(self) -> Exchange | None:
        """The last request that is not answered."""
        return self._waiting[-1] if self._waiting else self._running

    # -- reading

    def _is_full(self) -> bool:
        """Whether as much has been read ahead as may be."""
        buffered_bytes = self._running.buffered_bytes if self._running is not None else 0
        for exchange in self._waiting:
            buffered_bytes += exchange.buffered_bytes
        return buffered_bytes > _READ_AHEAD_BYTES or len(self._waiting) > _READ_AHEAD_REQUESTS

    def _resume_reading(self) -> None:
        if not self._deaf and not self._is_full():
            self.flow.resume_reading()

    def _refuse(self, error: SessionError, status: int) -> None:
        """Answer input that is no request, after the answers to the requests before it.

        1. The rest of an unwanted upload is malformed: nobody is interested.
        2. The body of a request is malformed: if it waits behind another, it is forgotten and we go on as in 3; if its
           response has begun, that is cut short; else it gets the refusal as its answer.
        3. What follows complete requests is malformed, late or too much: the last of them is answered and the
           connection is closed.
        """
        self._deaf = True
        if self._due is _END or self.transport.is_closing():
            self.transport.close()
            return
        if self._waiting and not self._waiting[-1].uploaded:
            self._waiting.pop()
        last = self._last()
        if last is not None and last.uploaded:
            last.keep_alive = False
            self.flow.pause_reading()
            return
        if last is not None:
            last.cut_off = error
        self._depart()
        if last is not None and last.rules.started:
            self._cut(last)
            return
        request_id = last.request_id if last is not None else self._service.settings.identify((), self._peer)[0]
        if last is None or not last.given:
            head = _UNKNOWN if last is None else last.head
            self._service.refused(error, status, head, request_id=request_id, peer=self._peer)
        answer = problem(error, status=status, request_id=request_id)
        headers, body = ResponseRules("", request_id).head(answer)
        self.write(render_head(status, headers, b"connection: close\r\n") + body)
        self._close_lingering()

    # -- deadlines and ends

    def _await(self, due: _Due, delay_s: float) -> None:
        self._due = due
        self._deadline.set(delay_s)

    def _overdue(self) -> None:
        due, self._due = self._due, _NOTHING
        if self.transport.is_closing() and due is not _END:
            return
        match due:
            case _Due.HEAD if self.flow.read_paused:
                self._await(due, self.head_timeout_s)  # it may have arrived: it is we who do not read
            case _Due.HEAD if self._part is _HEAD:
                self._refuse(SessionError(ErrorCode.BAD_REQUEST, "the request took too long to arrive"), 408)
            case _Due.HEAD | _Due.REQUEST:
                self.transport.close()
            case _Due.UPLOAD if self._moved or self._latest is not self._running:
                self._moved = False
                self._await(due, self._service.settings.upload_stall_s)
            case _Due.UPLOAD:
                self._refuse(SessionError(ErrorCode.UPSTREAM_TIMEOUT, "the request body was not taken in time"), 504)
            case _Due.END if self.transport.get_write_buffer_size():
                self._await(due, _LINGER_QUIET_S)  # a visitor that reads slowly is not cut off
            case _Due.END:
                self.transport.abort()
            case _Due.NOTHING:
                pass
            case _:
                assert_never(due)

    def _close_after(self, exchange: Exchange) -> None:
        self._waiting.clear()
        if exchange.uploaded:
            self.transport.close()
        else:
            self._close_lingering()

    def _close_lingering(self) -> None:
        """Say that no more comes, and close when the visitor has done so, has sent the rest, or takes too long."""
        self._latest = None
        if not self.transport.can_write_eof() or self._departure is not None:
            self.transport.close()
            return
        self.transport.write_eof()
        self.flow.resume_reading()
        self._linger_until = self.loop.time() + _LINGER_S
        self._await(_END, min(_LINGER_S, _LINGER_QUIET_S))

    def _linger_on(self) -> None:
        self._await(_END, max(0.0, min(_LINGER_QUIET_S, self._linger_until - self.loop.time())))

    def _probe(self) -> bool:
        """``Departure``'s."""
        running = self._running
        sent = running is None or self._moved or self.transport.get_write_buffer_size() > 0 or running.probe()
        self._moved = False
        return sent


def _reason(error: httptools.HttpParserError) -> tuple[SessionError, int]:
    """What to tell of what stopped the parser: a callback that raised, or its own findings."""
    cause = error.__context__
    if isinstance(cause, HeadersTooLarge):
        return cause, 431
    return SessionError(ErrorCode.BAD_REQUEST, "the request is malformed"), 400


class _PipelineFull(Exception):
    """Raised through the parser, so that it does not go on to the requests that follow."""
