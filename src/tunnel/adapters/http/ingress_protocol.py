"""Connections of our own listener: uvicorn's httptools protocol with what it falls short of mended.

Besides what ``ingress_exchange`` mends:

- A malformed request is answered with a problem document, and never in the middle of another response.
- A head that does not end is refused with 431 before it fills memory, and one that does not come is not waited for:
  half of one is answered with 408, none with nothing.
- Trailers are dropped, since ASGI cannot tell them, rather than taken for headers. What comes in a body without being
  body, trailers and chunk headers, is bounded as a head is: the parser keeps a field until it is complete.
- Requests that wait behind another are bounded: one read can hold thousands.
- After an upgrade that is not taken up, the connection goes on as HTTP/1.1 without a warning in the log.
- After a response that left request body unread, what still comes of it is dropped for a while before the connection
  is closed, since closing at once would reset it and cost the visitor the response.

Relies on these of uvicorn, which tests pin: the callbacks of ``HttpToolsProtocol``, its attributes ``cycle``,
``pipeline``, ``flow``, ``parser``, ``tasks``, and the arguments of ``RequestResponseCycle``.
"""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import unquote

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from tunnel.adapters.http.ingress_exchange import Exchange
from tunnel.adapters.http.ingress_types import BODY_READY, DISCONNECT, RESPOND
from tunnel.adapters.http.problem import problem
from tunnel.domain.errors import ErrorCode, SessionError

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application

__all__ = ["IngressProtocol"]

_LINGER_S: Final = 2.0
"""How long the rest of an unwanted upload is read and dropped: some round trips, for the visitor to see the answer."""


_MAX_WAITING: Final = 32
"""Requests that may wait behind the one being answered; more than clients that pipeline at all are known to send."""


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
"""Members of an enum are slow to look up, and these are in the way of every request."""


class IngressProtocol(HttpToolsProtocol):
    """One connection of a visitor."""

    max_header_bytes = 64 * 1024
    """A head that has not ended after that many bytes, and the first read, is refused. So are that many bytes in reads
    after the head that bring no body with them."""

    head_timeout_s = 10.0
    """From the connection being made, or a head beginning that is not complete in the same read, to its end."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._running: Exchange | None = None
        self._linger: asyncio.TimerHandle | None = None
        self._head_deadline: asyncio.TimerHandle | None = None
        self._part = _NONE
        self._fruitless_bytes = 0
        """Received since anything was complete: a head, or a piece of body."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_awaiting_head()
        if self._linger is not None:
            self._linger.cancel()
        if self._running is not None:
            self._running.disconnect()
        self.pipeline.clear()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        self._fruitless_bytes += len(data)
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = data[upgrade.args[0] :]  # not taken up: what follows is HTTP/1.1 still
                if data:
                    continue
            except httptools.HttpParserError:
                self._refuse(SessionError(ErrorCode.BAD_REQUEST, "the request is malformed"), status=400)
                return
            break
        if self._part is not _NONE and self._fruitless_bytes > self.max_header_bytes:
            self._refuse(SessionError(ErrorCode.TOO_LARGE, "the header fields are too large"), status=431)
        elif self._head_deadline is None and (self._running is None or self._part is _HEAD):
            self._await_head()  # with nothing running, blank lines came, which begin no head

    def on_message_begin(self) -> None:
        self._part = _HEAD
        self._fruitless_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._part = _REST
        self._fruitless_bytes = 0
        self.headers = []  # trailers will come in here, where nobody looks
        if self._head_deadline is not None:
            self._stop_awaiting_head()
        if self._linger is not None or self.transport.is_closing():
            return
        if len(self.pipeline) >= _MAX_WAITING:
            raise _PipelineFull  # the parser stops here and says that the input is malformed
        version = self.parser.get_http_version()
        url = httptools.parse_url(self.url)
        path = url.path or b"/"
        scope = cast("dict[str, Any]", self.scope)
        scope["method"] = self.parser.get_method().decode("ascii")
        scope["http_version"] = version
        scope["path"] = unquote(path.decode("ascii"))
        scope["raw_path"] = path
        scope["query_string"] = url.query or b""
        exchange = Exchange(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,  # Config(access_log=False) would silence uvicorn's logger for the whole process
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=version != "1.0" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        scope["extensions"] = {RESPOND: exchange.respond, DISCONNECT: {}, BODY_READY: exchange.is_body_ready}
        busy = self.cycle is not None and not self.cycle.response_complete
        self.cycle = exchange
        if busy:
            self.flow.pause_reading()
            self.pipeline.appendleft((exchange, self.app))
        else:
            self._start(exchange, self.app)

    def on_body(self, body: bytes) -> None:
        self._fruitless_bytes = 0
        if self._takes_body():
            self.cycle.body += body
            if len(self.cycle.body) > HIGH_WATER_LIMIT:
                self.flow.pause_reading()
            self.cycle.message_event.set()

    def on_message_complete(self) -> None:
        self._part = _NONE
        if self._takes_body():
            self.cycle.more_body = False
            self.cycle.message_event.set()
        elif self._linger is not None:
            self.transport.close()

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        exchange, self._running = self._running, None
        if self.transport.is_closing():
            return
        self._unset_keepalive_if_required()
        following = self.pipeline.pop() if self.pipeline else None
        if not self.pipeline:  # more than wait already are not read
            self.flow.resume_reading()
        if exchange is not None and exchange.linger:
            self._close_lingering(exchange)
        elif following is not None:
            self._start(cast("Exchange", following[0]), following[1])
        elif self._head_deadline is None:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _takes_body(self) -> bool:
        return self._linger is None and not self.cycle.response_complete

    def _await_head(self) -> None:
        self._head_deadline = self.loop.call_later(self.head_timeout_s, self._head_overdue)

    def _stop_awaiting_head(self) -> None:
        if self._head_deadline is not None:
            self._head_deadline.cancel()
            self._head_deadline = None

    def _head_overdue(self) -> None:
        self._head_deadline = None
        if self.transport.is_closing():
            return
        if self.flow.read_paused:
            self._await_head()  # it may have arrived: it is we who do not read
        elif self._part is _HEAD:
            self._refuse(SessionError(ErrorCode.BAD_REQUEST, "the request took too long to arrive"), status=408)
        else:
            self.transport.close()

    def _start(self, exchange: Exchange, app: ASGI3Application) -> None:
        self._running = exchange
        task = exchange.task = self.loop.create_task(exchange.run_asgi(app))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def _close_lingering(self, exchange: Exchange) -> None:
        """Say that no more comes, and close when the visitor has done so, has sent the rest, or takes too long."""
        if not exchange.more_body or not self.transport.can_write_eof():
            self.transport.close()
            return
        self._linger = self.loop.call_later(_LINGER_S, self.transport.abort)
        self.transport.write_eof()

    def _refuse(self, error: SessionError, *, status: int) -> None:
        """Answer input that is no request, after the answers to the requests before it.

        1. The rest of an unwanted upload is malformed: nobody is interested.
        2. The body of a request is malformed: if it waits behind another, it is forgotten and we go on as in 3; if its
           response has begun, that is cut short; else it gets the refusal as its answer.
        3. What follows complete requests is malformed, late or too much: the last of them is answered and the
           connection is closed.
        """
        if self._linger is not None:
            self.transport.close()
            return
        last = self.cycle
        if last is not None and not last.response_complete:
            if last.more_body and self.pipeline:
                self.pipeline.popleft()
                last = self.cycle = self.pipeline[0][0] if self.pipeline else cast("Exchange", self._running)
            if not last.more_body:
                last.keep_alive = False
                self.flow.pause_reading()
                return
            if last.response_started:
                self.transport.close()
                return
        self._write_refusal(error, status=status)

    def _write_refusal(self, error: SessionError, *, status: int) -> None:
        answer = problem(error, status=status)
        lines = [b"HTTP/1.1 %d \r\n" % status]
        for position in range(0, len(answer.headers), 2):
            lines += [answer.headers[position], b": ", answer.headers[position + 1], b"\r\n"]
        lines += [b"connection: close\r\n\r\n", answer.body]
        self.transport.write(b"".join(lines))
        self.transport.close()


class _PipelineFull(Exception):
    """Raised through the parser, so that it does not go on to the requests that follow."""
