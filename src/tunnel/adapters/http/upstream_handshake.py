"""The handshake that makes a connection to an upstream a WebSocket: as bytes, and the answer to it.

The answer is read as any response of HTTP is, so that one that refuses can be passed on as it comes.

Source: RFC 6455 section 4.1.
"""

from __future__ import annotations

import asyncio
from typing import Final

from msgspec.structs import replace

from tunnel.adapters.http.fields import strip_hop_by_hop
from tunnel.adapters.http.upstream_connection import UpstreamConnection
from tunnel.adapters.http.upstream_request import HeadRenderer
from tunnel.adapters.http.upstream_response import ResponseReader
from tunnel.adapters.http.websocket_handshake import passing
from tunnel.domain.envelopes import Headers, HttpRequest
from tunnel.domain.errors import ErrorCode, SessionError

__all__ = ["HandshakeConnection", "HandshakeReader", "render_handshake"]

_SWITCHING: Final = 101


def render_handshake(heads: HeadRenderer, head: HttpRequest, key: bytes) -> bytes:
    """The head on the wire, up to and with its empty line.

    Args:
        heads: Of the upstream.
        head: The opening of the conversation.
        key: Of our handshake.

    Raises:
        SessionError: ``bad_request``: it cannot be written as one request.
    """
    if len(head.headers) & 1:
        raise SessionError(ErrorCode.BAD_REQUEST, "a header field has no value")
    clean = replace(passing(head), protocol="http", end=True, headers=strip_hop_by_hop(passing(head).headers))
    block, _ = heads.render(clean)
    ours = (
        b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %b\r\n\r\n" % key
    )
    return block[:-2] + ours


class HandshakeReader(ResponseReader):
    """Reads the answer to one handshake.

    Attributes:
        accepted: The fields of an answer that switches protocols, all of them; None for any other.
        rest: What came after that.
    """

    __slots__ = ("accepted", "rest")

    def __init__(self, *, max_header_bytes: int, max_headers: int) -> None:
        super().__init__(max_header_bytes=max_header_bytes, max_headers=max_headers)
        self.accepted: Headers | None = None
        self.rest = b""

    def _take_odd(self, status: int) -> None:
        if status != _SWITCHING:
            super()._take_odd(status)
            return
        self._take_head(status)
        self.accepted = self._received

    def _switched(self, rest: bytes) -> None:
        if self.accepted is None:
            super()._switched(rest)
        self.rest = rest


class HandshakeConnection(UpstreamConnection):
    """A connection whose one exchange is a handshake. Accepted, it reads nothing until somebody takes it over."""

    __slots__ = ()

    _response: HandshakeReader

    @property
    def accepted(self) -> Headers | None:
        """As of ``HandshakeReader``."""
        return self._response.accepted

    def data_received(self, data: bytes) -> None:
        """Called by the event loop."""
        super().data_received(data)
        if self._response.accepted is not None and self._transport is not None:
            self._transport.pause_reading()

    def yield_transport(self) -> tuple[asyncio.Transport, bytes]:
        """The connection, for another protocol, and what has arrived for that. This is told of nothing any more."""
        transport, self._transport = self._transport, None
        assert transport is not None
        self._response.close()
        return transport, self._response.rest
