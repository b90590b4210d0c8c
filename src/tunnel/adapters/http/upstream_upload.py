"""A request body that is still arriving, written to the upstream as it comes."""

from __future__ import annotations

import asyncio
import re
from typing import Final

from tunnel.adapters.http.fields import pairs, strip_hop_by_hop, without
from tunnel.adapters.http.upstream_connection import UpstreamConnection
from tunnel.adapters.http.upstream_request import CHUNKED
from tunnel.domain.envelopes import BodyChunk, Headers, HttpRequest, Trailers
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.expectation import awaits_permission
from tunnel.ports.target import Stream
from tunnel.sockets.task_end import end_task

__all__ = ["UpstreamUpload", "render_trailers"]

_LAST_CHUNK: Final = b"0\r\n\r\n"

_PERMISSION_S: Final = 1.0
"""How long the upstream may take to ask for a body that was announced with Expect. Many never ask, so the body is sent
all the same (RFC 9110 section 10.1.1)."""

_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch

_NOT_IN_TRAILERS: Final = frozenset(
    {b"authorization", b"content-encoding", b"content-length", b"content-range", b"content-type", b"cookie", b"host"}
)
"""Fields that frame, route or authenticate are not taken from trailers (RFC 9110 section 6.5.1)."""


class UpstreamUpload:
    """Writes the request of one exchange: the head at once, and in a task the body, framed as the head announced.

    What comes with the head leaves with it. The task writes the rest as fast as the upstream takes it, while the
    response may come already. It takes nothing from the conversation while the upstream has yet to permit the body.
    When the conversation is reset, or its body is not what was announced, the connection fails with that error.

    Args:
        stream: Where the body comes from.
        connection: Where to.
        head: The request; its ``end`` is not set.
        block: Its head on the wire.
        length_bytes: What that announces, no less than comes with the head; or ``CHUNKED``.
    """

    def __init__(
        self, stream: Stream, connection: UpstreamConnection, head: HttpRequest, block: bytes, *, length_bytes: int
    ) -> None:
        self._stream = stream
        self._connection = connection
        self._left_bytes = length_bytes
        self._chunked = length_bytes == CHUNKED
        self._awaits_permission = awaits_permission(head)
        beginning = b"".join((block, *self._framed(head.body, end=False)))
        connection.ask(beginning, head_request=head.method == "HEAD", whole=False)
        self._task = asyncio.get_running_loop().create_task(self._pump())
        self._task.add_done_callback(self._ended)

    async def stop(self) -> None:
        """Write no more. Returns when nothing is received any more, even when cancelled; that is raised afterwards."""
        await end_task(self._task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (failure := task.exception()) is not None:
            self._connection.fail(failure)

    async def _pump(self) -> None:
        """Returns early when the connection is lost, and when the upstream answers instead of permitting the body."""
        connection = self._connection
        if self._awaits_permission and not await self._permitted():
            return
        end = False
        while not end:
            while connection.writing_paused and connection.usable:
                await connection.progress()
            payload = await self._stream.receive()
            connection.at_hand = False
            if not connection.usable:
                return
            match payload:
                case BodyChunk():
                    end = payload.end
                    connection.write_all(self._framed(payload.data, end=end))
                case Trailers():
                    end = True
                    connection.write_all(self._ending(payload))
                case _:
                    kind = type(payload).__name__
                    raise SessionError(ErrorCode.PROTOCOL_ERROR, f"{kind} is not part of an HTTP request")
        connection.sent()

    async def _permitted(self) -> bool:
        """Wait until the upstream asks for the body, or has taken too long to. False: it answered, or is lost."""
        connection = self._connection
        try:
            async with asyncio.timeout(_PERMISSION_S):
                while connection.usable and not (connection.permitted or connection.answered):
                    await connection.progress()
        except TimeoutError:
            return True
        return connection.usable and connection.permitted

    def _framed(self, data: bytes, *, end: bool) -> tuple[bytes, ...]:
        """A piece of the body as it is written, the last with ``end``; data is not copied."""
        if not self._chunked:
            self._left_bytes -= len(data)
            if self._left_bytes < 0 or (end and self._left_bytes):
                raise SessionError(ErrorCode.PROTOCOL_ERROR, "the request body is not as long as its Content-Length")
            return (data,) if data else ()
        last = (_LAST_CHUNK,) if end else ()
        return (b"%x\r\n" % len(data), data, b"\r\n", *last) if data else last

    def _ending(self, trailers: Trailers) -> tuple[bytes, ...]:
        """Trailers need chunks; with Content-Length they are left out, as RFC 9110 section 6.5.1 allows."""
        return (render_trailers(trailers.headers),) if self._chunked else self._framed(b"", end=True)


def render_trailers(headers: Headers) -> bytes:
    """The last chunk with trailer fields after it, without those that trailers must not hold.

    Raises:
        SessionError: ``bad_request``: a name or value is missing or cannot be written.
    """
    if len(headers) & 1:
        raise SessionError(ErrorCode.BAD_REQUEST, "a trailer field has no value")
    fields = without(strip_hop_by_hop(headers), _NOT_IN_TRAILERS)
    if not all(map(_TOKEN, fields[::2])):
        raise SessionError(ErrorCode.BAD_REQUEST, "a trailer name is malformed")
    block = b"".join(b"%b: %b\r\n" % pair for pair in pairs(fields))
    lines = len(fields) // 2
    if block.count(b"\n") != lines or block.count(b"\r") != lines or b"\0" in block:
        raise SessionError(ErrorCode.BAD_REQUEST, "a trailer value holds a line break")
    return b"0\r\n%b\r\n" % block
