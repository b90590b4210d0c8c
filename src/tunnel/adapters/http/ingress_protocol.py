"""Connections of our own listener: uvicorn's httptools protocol without its ASGI, and mended where it falls short.

The parser's callbacks become an ``Exchange`` each, which the target is given in a task of the connection; the response
is written from the call that sends it. Besides being faster than ASGI's messages, this way:

- A malformed request is answered with a problem document, and never in the middle of another response.
- A head that does not end is refused with 431 before it fills memory, and one that does not come is not waited for:
  half of one is answered with 408, none with nothing.
- Trailers are kept apart from the head. What comes in a body without being body, trailers and chunk headers, is bounded
  as a head is: the parser keeps a field until it is complete.
- Requests that wait behind another are bounded: one read can hold thousands.
- What is left of a long body of known length is counted, not parsed: the parser would copy it. Another takes its place
  then, as it does not know that the request is over.
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
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, assert_never

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from tunnel.adapters.http.fields import trailer_fields
from tunnel.adapters.http.ingress_connection import Connection
from tunnel.adapters.http.ingress_departure import Departure
from tunnel.adapters.http.ingress_exchange import Exchange
from tunnel.adapters.http.ingress_head import HeadersTooLarge
from tunnel.adapters.http.ingress_lingering import Lingering
from tunnel.adapters.http.ingress_malformed import PipelineFull, last_answer, reason
from tunnel.adapters.http.ingress_parser import left_to_count, request_parser
from tunnel.adapters.http.ingress_pipeline import MAX_WAITING, READ_AHEAD_REQUESTS, Pipeline
from tunnel.adapters.http.ingress_request import read_request
from tunnel.adapters.http.ingress_service import IngressService
from tunnel.adapters.http.ingress_timer import Deadline, Due
from tunnel.adapters.http.ingress_turns import Turns
from tunnel.adapters.http.ingress_upgrade import parser_within_body
from tunnel.domain.envelopes import HttpRequest
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.sockets.gathering import WRITELINES_PAUSES

if TYPE_CHECKING:
    from uvicorn.protocols.http.flow_control import FlowControl

__all__ = ["IngressProtocol"]

_UNKNOWN: Final = HttpRequest("", b"")
"""The head of what is no request."""


class _Part(Enum):
    """What of a request the next byte belongs to."""

    NONE = "none"
    """The next byte is the first of a request."""
    HEAD = "head"
    REST = "rest"
    """Body, chunk headers, trailers."""


_NONE: Final = _Part.NONE
_HEAD: Final = _Part.HEAD
_REST: Final = _Part.REST
_NOTHING: Final = Due.NOTHING
_REQUEST: Final = Due.REQUEST
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
    _turns: Turns

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
        self._left_bytes: int | None = None
        """Of a body, to be counted. None until some of it has arrived."""
        self._pipeline = Pipeline()
        self._deadline = Deadline(self.loop, self._overdue)
        self._lingering: Lingering | None = None
        self._deaf = False
        """The input cannot be made sense of any more, or is not ours to make sense of."""
        self._departure: Departure | None = None
        self._moved = False
        """Something was written since this was last cleared."""

    # -- asyncio's side

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._peer = self.client[0] if self.client else ""
        self._turns = Turns(
            self._pipeline,
            transport,
            self.flow,
            service=self._service,
            loop=self.loop,
            tasks=self.tasks,
            read_on=self._resume_reading,
            hand_over=self._hand_over,
        )
        self._deadline.set(Due.HEAD, self.head_timeout_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self._deadline.close()
        if self._departure is not None:
            self._departure.close()
        self._turns.give_up()
        self._turns.close()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            if self._lingering is not None:
                self._lingering.go_on()
            return
        self._fruitless_bytes += len(data)
        if self._left_bytes:
            data = self._count(data, self._left_bytes)
            if not data:
                return
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = data[upgrade.args[0] :]
                if self._reads_on(data) and data:
                    continue
            except httptools.HttpParserError as error:
                self._turns.advance()
                self._refuse(*reason(error))
                return
            break
        pipeline = self._pipeline
        if pipeline.waiting and pipeline.running is None:
            self._turns.advance()
        if self._part is _NONE:
            return
        if self._fruitless_bytes > self._service.settings.max_header_bytes:
            self._refuse(SessionError(ErrorCode.TOO_LARGE, "the header fields are too large"), 431)
        elif self._part is _HEAD and self._deadline.due is not Due.HEAD:
            self._deadline.set(Due.HEAD, self.head_timeout_s)

    def eof_received(self) -> bool:  # type: ignore[override]
        """The visitor says no more: what it has asked for completely is answered."""
        if self._lingering is not None or self.transport.is_closing() or self.scheme == "https":
            return False  # neither event loop can end TLS in one direction only
        if self._part is not _NONE:
            self._refuse(SessionError(ErrorCode.BAD_REQUEST, "the request ends before it is complete"), 400)
            if self.transport.is_closing():
                return True
        last = self._pipeline.last
        if last is None:
            return False
        last.keep_alive = False
        self._moved = False
        self._departure = Departure(self.loop, probe=self._probe, depart=self.transport.abort)
        return True

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._pipeline.running is not None:
            self._pipeline.running.wake_writer()
        else:
            self._turns.advance()

    def shutdown(self) -> None:
        """Called by the server: close, when what has been asked for is answered."""
        last = self._pipeline.last
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
        self._left_bytes = None
        if self._lingering is not None or self.transport.is_closing():
            self._pipeline.read = None
            return
        pipeline = self._pipeline
        if len(pipeline.waiting) >= MAX_WAITING:
            raise PipelineFull
        self._deadline.clear()
        pipeline.read, pipeline.switch = read_request(
            self,
            self.parser,
            self._url,
            fields,
            scheme=self.scheme or "http",
            peer=self._peer,
            settings=self._service.settings,
        )
        pipeline.waiting.append(pipeline.read)
        if len(pipeline.waiting) > READ_AHEAD_REQUESTS:
            self.flow.pause_reading()  # does nothing when it is

    def on_body(self, body: bytes) -> None:
        self._fruitless_bytes = 0
        exchange = self._pipeline.read
        if exchange is None or exchange.answered:
            if self._lingering is not None:
                self._lingering.go_on()
            return
        if self._left_bytes is None:
            self._left_bytes = left_to_count(exchange.head.headers, len(body)) if exchange.refusal is None else 0
        exchange.feed(body)
        if self._pipeline.full and not self.flow.read_paused:
            self.flow.pause_reading()
            self._moved = False
            stall_s = self._service.settings.upload_stall_s
            if stall_s:
                self._deadline.set(Due.UPLOAD, stall_s)

    def on_message_complete(self) -> None:
        exchange = self._pipeline.read
        if exchange is None:
            if self._lingering is not None:
                self.transport.close()
        elif not exchange.uploaded:
            if self.parser.should_upgrade() and self._pipeline.switch is None:
                return  # it is not: the parser has skipped the body
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
            if WRITELINES_PAUSES:
                self.transport.writelines(parts)
            else:
                self.transport.write(b"".join(parts))
            self._moved = True
        else:
            self._lose()

    def _lose(self) -> None:
        """Have who goes on writing wait for the loss to be told, which it might never let the event loop do."""
        self.flow.pause_writing()

    def read_on(self) -> None:
        if self.flow.read_paused:
            if self._deadline.due is Due.UPLOAD:
                self._deadline.clear()
            self._resume_reading()

    def finished(self, exchange: Exchange) -> None:
        pipeline = self._pipeline
        pipeline.running = None
        if pipeline.read is exchange and exchange.uploaded:
            pipeline.read = None
        self.server_state.total_requests += 1
        if self.flow.read_paused:
            self.read_on()
        if not exchange.keep_alive:
            self._close_after(exchange)
        elif pipeline.waiting:
            # The worker takes it up at once, unless the target stays with what it has answered.
            self.loop.call_soon(self._turns.advance)
        elif self._deadline.due is _NOTHING:
            self._deadline.set(_REQUEST, self.timeout_keep_alive)

    def _hand_over(self, exchange: Exchange) -> None:
        """Let a conversation have the connection to itself; this is told of nothing any more."""
        switch = self._pipeline.switch
        assert switch is not None
        self._deadline.close()
        self._turns.close()
        if self._departure is not None:
            self._departure.close()
        self._pipeline.clear()
        self.server_state.connections.discard(self)
        del self.parser  # it holds this, and is held by it
        switch.take_over(self.transport, exchange, service=self._service, state=self.server_state)

    # -- reading

    def _reads_on(self, rest: bytes) -> bool:
        """The parser has come to an upgrade, and left ``rest``; whether that is HTTP/1.1 still."""
        pipeline = self._pipeline
        exchange = pipeline.read
        if pipeline.switch is not None:
            pipeline.switch.early = rest
        elif exchange is None or exchange.uploaded:
            return True
        elif exchange.refusal is None:
            self.parser = parser_within_body(self, exchange.head.headers)
            return True
        else:
            self._part = _NONE  # whatever follows what we did not understand
        self._deaf = True
        self.flow.pause_reading()
        return False

    def _count(self, data: bytes, left_bytes: int) -> bytes:
        """Take in ``data`` as body, of which so much is left; what follows the body."""
        body = data if len(data) <= left_bytes else data[:left_bytes]
        self._left_bytes = left_bytes - len(body)
        self.on_body(body)
        if not self._left_bytes:
            self.on_message_complete()
            self.parser = request_parser(self)
        return data[len(body) :]

    def _resume_reading(self) -> None:
        if not self._deaf and not self._pipeline.full:
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
        if self._lingering is not None or self.transport.is_closing():
            self.transport.close()
            return
        self._pipeline.forget_unfinished()
        last = self._pipeline.last
        if last is not None and last.uploaded:
            last.keep_alive = False
            self.flow.pause_reading()
            return
        if last is not None:
            last.cut_off = error
        self._turns.give_up()
        if last is not None and last.rules.started:
            self._turns.cut(last)
            return
        request_id = last.request_id if last is not None else self._service.settings.identify((), self._peer)[0]
        if last is None or not last.given:
            head = _UNKNOWN if last is None else last.head
            self._service.refused(error, status, head, request_id=request_id, peer=self._peer)
        self.write(last_answer(error, status, request_id=request_id))
        self._close_lingering()

    # -- deadlines and ends

    def _overdue(self, due: Due) -> None:
        if self.transport.is_closing() and due is not Due.END:
            return
        match due:
            case Due.HEAD if self.flow.read_paused:
                self._deadline.set(due, self.head_timeout_s)  # it may have arrived: it is we who do not read
            case Due.HEAD if self._part is _HEAD:
                self._refuse(SessionError(ErrorCode.BAD_REQUEST, "the request took too long to arrive"), 408)
            case Due.HEAD | Due.REQUEST:
                self.transport.close()
            case Due.UPLOAD if self._moved or self._pipeline.read is not self._pipeline.running:
                self._moved = False
                self._deadline.set(due, self._service.settings.upload_stall_s)
            case Due.UPLOAD:
                self._refuse(SessionError(ErrorCode.UPSTREAM_TIMEOUT, "the request body was not taken in time"), 504)
            case Due.END:
                assert self._lingering is not None
                self._lingering.overdue()
            case Due.NOTHING:
                pass
            case _:
                assert_never(due)

    def _close_after(self, exchange: Exchange) -> None:
        self._pipeline.waiting.clear()
        if exchange.uploaded:
            self.transport.close()
        else:
            self._close_lingering()

    def _close_lingering(self) -> None:
        self._pipeline.read = None
        if not self.transport.can_write_eof() or self._departure is not None:
            self.transport.close()
            return
        self._lingering = Lingering(self.loop, self.transport, self._deadline)
        self.flow.resume_reading()

    def _probe(self) -> bool:
        """``Departure``'s."""
        running = self._pipeline.running
        sent = running is None or self._moved or self.transport.get_write_buffer_size() > 0 or running.probe()
        self._moved = False
        return sent
