"""A request body that is still arriving, written to the upstream as it comes."""

from __future__ import annotations

from typing import Final

from tunnel.adapters.http.upstream_connection import UpstreamConnection
from tunnel.adapters.http.upstream_request import CHUNKED, render_trailers
from tunnel.domain.envelopes import BodyChunk, Trailers
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.ports.target import Stream

__all__ = ["UpstreamUpload"]

_LAST_CHUNK: Final = b"0\r\n\r\n"


class UpstreamUpload:
    """Writes the body of one request, framed as its head announced.

    Args:
        connection: Where to.
        length_bytes: What the head announced, or ``CHUNKED``.
    """

    def __init__(self, connection: UpstreamConnection, *, length_bytes: int) -> None:
        self._connection = connection
        self._left_bytes = length_bytes
        self._chunked = length_bytes == CHUNKED

    def write(self, data: bytes, *, end: bool) -> None:
        """Write a piece of the body, the last with ``end``.

        Raises:
            SessionError: ``protocol_error``: the body is longer or shorter than announced.
        """
        if not self._chunked:
            self._write_counted(data, end=end)
        elif data:
            last = b"\r\n" + _LAST_CHUNK if end else b"\r\n"
            self._connection.write_all((b"%x\r\n" % len(data), data, last))
        elif end:
            self._connection.write(_LAST_CHUNK)

    async def pump(self, stream: Stream, *, first_byte_timeout_s: float | None) -> None:
        """Write everything that is still to be received from ``stream``, as fast as the upstream takes it.

        Returns early when the connection is lost; whoever reads the response learns why.

        Raises:
            SessionError: The conversation was reset, or its body is not what was announced.
        """
        connection = self._connection
        end = False
        while not end:
            if connection.writing_paused:
                await connection.drained()
            payload = await stream.receive()
            if not connection.usable:
                return
            match payload:
                case BodyChunk():
                    end = payload.end
                    self.write(payload.data, end=end)
                case Trailers():
                    end = True
                    self._finish_with(payload)
                case _:
                    kind = type(payload).__name__
                    raise SessionError(ErrorCode.PROTOCOL_ERROR, f"{kind} is not part of an HTTP request")
        connection.sent(first_byte_timeout_s=first_byte_timeout_s)

    def _finish_with(self, trailers: Trailers) -> None:
        """Trailers need chunks; with Content-Length they are left out, as RFC 9110 section 6.5.1 allows."""
        if self._chunked:
            self._connection.write(render_trailers(trailers.headers))
        else:
            self._write_counted(b"", end=True)

    def _write_counted(self, data: bytes, *, end: bool) -> None:
        self._left_bytes -= len(data)
        if self._left_bytes < 0 or (end and self._left_bytes):
            raise SessionError(ErrorCode.PROTOCOL_ERROR, "the request body is not as long as its Content-Length")
        if data:
            self._connection.write(data)
