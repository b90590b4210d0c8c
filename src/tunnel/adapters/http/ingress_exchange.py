"""One request on a connection of our own listener, and its response."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from tunnel.adapters.http.fields import without
from tunnel.adapters.http.ingress_connection import Connection
from tunnel.adapters.http.ingress_head import EXPECT_FIELD, Upload
from tunnel.adapters.http.ingress_response import Framing, ResponseRules
from tunnel.adapters.http.ingress_service import VisitorStream
from tunnel.adapters.http.ingress_wire import (
    CONTINUE,
    LAST_CHUNK,
    STATUS_START,
    chunk,
    render_head,
    render_trailers,
)
from tunnel.domain.envelopes import BodyChunk, Headers, HttpRequest, HttpResponse, SessionPayload, Trailers
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.problem import problem

__all__ = ["DEPARTED", "Exchange"]

DEPARTED: Final = SessionError(ErrorCode.CANCELLED, "the visitor left")
"""Why nothing more can be said, or comes. What had come before can still be taken."""

_NO_UPLOAD: Final = Upload.NONE
_ON_DEMAND: Final = Upload.ON_DEMAND
_OPEN: Final = Framing.OPEN
"""Members of an enum are slow to look up, and these are in the way of every request."""

_JOINED_BYTES: Final = 16 * 1024
"""A chunk up to this size is copied into one piece with its frame: cheaper than handing on three."""


class Exchange(VisitorStream):
    """A request, as a target sees it and as the connection feeds it.

    Its body is taken in as far as the connection reads ahead, and read on as the target receives. ``send`` waits while
    the visitor is not ready for more.

    Args:
        connection: The connection.
        head: What ``read_head`` made of the request; for one it refused, enough to frame the answer.
        upload: Where the body is.
        http10: The visitor speaks HTTP/1.0: knows no chunks, and keeps a connection only if told so.
        keep_alive: The visitor may send another request on this connection.
        max_body_bytes: Largest request body; None means no limit.
        request_id: Name of the request; empty when it has none.
        peer: IP address of the visitor; empty when it has none.
    """

    __slots__ = (
        "_chunked",
        "_connection",
        "_expects",
        "_head",
        "_http10",
        "_limit",
        "_parts",
        "_reader",
        "_spoken_bytes",
        "_taken",
        "_trailers",
        "_writer",
        "buffered_bytes",
        "cut_off",
        "error",
        "given",
        "keep_alive",
        "peer",
        "refusal",
        "request_id",
        "rules",
        "uploaded",
    )

    def __init__(
        self,
        connection: Connection,
        head: HttpRequest,
        upload: Upload,
        *,
        http10: bool,
        keep_alive: bool,
        max_body_bytes: int | None,
        request_id: bytes = b"",
        peer: str = "",
    ) -> None:
        self._connection = connection
        self._head = head
        self._http10 = http10
        self._limit = max_body_bytes
        self._expects = upload is _ON_DEMAND
        self._chunked = False
        self._taken = 0
        self._spoken_bytes = 0  # of the response, by probes
        self._parts: list[bytes] = []
        self._trailers: Headers = ()
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self.rules = ResponseRules(head.method, request_id)
        self.request_id = request_id
        self.peer = peer
        self.cut_off: SessionError | None = None
        self.error: SessionError | None = None
        self.keep_alive = keep_alive
        """Whether the connection goes on after the response."""
        self.given = False
        """Whether the target has been given it."""
        self.refusal: HttpResponse | None = None
        """The answer, when no target is to hear of the request."""
        self.uploaded = upload is _NO_UPLOAD
        """Whether all of the request has arrived."""
        self.buffered_bytes = 0
        """Of the body, arrived and not taken by the target."""

    @property
    def head(self) -> HttpRequest:
        return self._head

    @property
    def answered(self) -> bool:
        return self.rules.ended

    # -- the target's side

    async def receive(self) -> BodyChunk | Trailers:
        while True:
            if self.error is not None and not (self.error is DEPARTED and self._parts):
                raise self._why()
            if self._parts or self.uploaded:
                return self._take()
            if self._expects:
                self._expects = False
                if not self.rules.started:
                    self._connection.write(CONTINUE)
            self._connection.read_on()
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None

    async def send(self, payload: SessionPayload) -> None:
        if self.error is not None:
            raise self._why()
        if not self.rules.admit(payload):
            return
        if self._connection.writing_paused and not (type(payload) is HttpResponse and payload.end):
            await self._writable()
        if type(payload) is HttpResponse:
            self._write_head(payload)
        elif type(payload) is BodyChunk:
            self._write_body(self.rules.body(payload), end=payload.end)
        elif type(payload) is Trailers:
            self._write_trailers(payload)

    def reset(self, error: SessionError) -> None:
        if self.error is not None or self.rules.ended:
            return
        self.error = error
        _wake(self._reader)
        _wake(self._writer)

    def answer(self, response: HttpResponse) -> None:
        """Write a whole response of our own, which is right, in place of the target's. Before that has begun."""
        self._write_head(response)

    # -- the connection's side

    def begin(self) -> None:
        """Put what has arrived of the body into the head. Before any target sees it."""
        if self._parts or (self.uploaded and not self._head.end):
            unasked, self._expects = self._expects, False
            try:
                first = self._take()
            except SessionError as exc:
                self.refusal = problem(exc, request_id=self.request_id)
                return
            if type(first) is BodyChunk:
                headers = self._head.headers
                if unasked:
                    headers = without(headers, EXPECT_FIELD)
                self._head = msgspec.structs.replace(self._head, headers=headers, body=first.data, end=first.end)

    def feed(self, data: bytes) -> None:
        """A piece of the body arrived."""
        self._parts.append(data)
        self.buffered_bytes += len(data)
        _wake(self._reader)

    def feed_end(self, trailers: Headers) -> None:
        """The end of the request arrived."""
        self.uploaded = True
        self._trailers = trailers
        _wake(self._reader)

    def wake_writer(self) -> None:
        """The visitor is ready for more."""
        _wake(self._writer)

    @property
    def ends_with_connection(self) -> bool:
        """Whether the end of the connection is all that tells the end of the response body."""
        return self._http10 and self.rules.started and self.rules.framing is _OPEN

    def probe(self) -> bool:
        """Write one byte that changes nothing of what is said, for the network to tell whether anybody is there.

        Before a response it is the next of those that all responses begin with; between chunks another zero before the
        next chunk's size.

        Returns:
            Whether there was such a byte.

        Source: RFC 9112 section 7.1: a chunk size is any number of hexadecimal digits.
        """
        if not self.rules.started:
            byte = STATUS_START[self._spoken_bytes : self._spoken_bytes + 1]
            self._spoken_bytes += len(byte)
        else:
            byte = b"0" if self._chunked else b""
        if byte:
            self._connection.write(byte)
        return bool(byte)

    # -- inside

    def _take(self) -> BodyChunk | Trailers:
        parts = self._parts
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self.buffered_bytes = 0
        self._expects = False  # whoever has begun to send needs no permission any more
        if self._limit is not None:
            self._taken += len(data)
            if self._taken > self._limit:
                self.reset(SessionError(ErrorCode.TOO_LARGE, "the request body is too large"))
                raise self._why()
        if self._trailers and not data:
            return Trailers(self._trailers)
        self._connection.read_on()
        return BodyChunk(data, self.uploaded and not self._trailers)

    async def _writable(self) -> None:
        while self._connection.writing_paused:
            self._writer = asyncio.get_running_loop().create_future()
            try:
                await self._writer
            finally:
                self._writer = None
            if self.error is not None:
                raise self._why()

    def _write_head(self, head: HttpResponse) -> None:
        rules = self.rules
        headers, body = rules.head(head)
        extra = b""
        if not self.uploaded:
            # What is left of the body would have to be read before another request, and may never be sent.
            self.keep_alive = False
        if rules.framing is _OPEN:
            if self._http10:
                self.keep_alive = False
            else:
                self._chunked = True
                extra = b"transfer-encoding: chunked\r\n"
        if not self.keep_alive:
            extra += b"connection: close\r\n"
        elif self._http10:
            extra += b"connection: keep-alive\r\n"
        rules.started = True
        text = render_head(head.status, headers, extra)
        if self._spoken_bytes:
            text = text[self._spoken_bytes :]
        if head.end:
            self._connection.write(text + body)
            self._end()
        else:
            self._connection.write(text)
            self._write_body(body, end=False)

    def _write_body(self, data: bytes, *, end: bool) -> None:
        if not self._chunked:
            if data:
                self._connection.write(data)
        elif data:
            parts = chunk(data) if not end else (*chunk(data), LAST_CHUNK)
            if len(data) <= _JOINED_BYTES:
                self._connection.write(b"".join(parts))
            else:
                self._connection.write_parts(parts)
        elif end:
            self._connection.write(LAST_CHUNK)
        if end:
            self._end()

    def _write_trailers(self, trailers: Trailers) -> None:
        """Trailers need chunks; elsewhere they are left out (RFC 9110 section 6.5.1)."""
        headers = self.rules.trailers(trailers)
        if self._chunked:
            self._connection.write(render_trailers(headers))
        self._end()

    def _end(self) -> None:
        self.rules.ended = True
        self._connection.finished(self)

    def _why(self) -> SessionError:
        """The reset's error, afresh: the same exception raised in two tasks would mix their tracebacks."""
        assert self.error is not None
        return SessionError(self.error.code, self.error.message, detail=self.error.detail)


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
