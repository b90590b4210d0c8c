"""What sessions carry: openings, data under flow control, and the control of one session.

``cost`` is what an envelope charges to windows and budgets: all bytes and text it carries, plus
``COST_OVERHEAD_BYTES``. Both ends compute it alike, so its definition is part of the wire protocol. ``carried_bytes``
is what of it is content: of a body or a message.

Source: docs/reference/protocol.md, envelopes and cost.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import msgspec

from tunnel.domain.kinds import GrpcFrameType, Headers, Kind, WebSocketOpcode
from tunnel.domain.limits import COST_OVERHEAD_BYTES

__all__ = [
    "BodyChunk",
    "Error",
    "GrpcFrame",
    "HeadPart",
    "HttpRequest",
    "HttpResponse",
    "Opening",
    "SessionPayload",
    "StopSending",
    "TcpOpen",
    "Trailers",
    "WebSocketFrame",
    "WindowUpdate",
]


def _text(text: str) -> int:
    """Bytes of ``text`` in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


class HttpRequest(msgspec.Struct, frozen=True, array_like=True, gc=False, tag_field="kind", tag=int(Kind.HTTP_REQUEST)):
    """Opens an HTTP exchange or, with ``protocol="websocket"``, a WebSocket conversation.

    A small whole request is this one envelope with ``body`` and ``end``; otherwise ``BodyChunk`` envelopes follow.
    ``path`` and ``query`` are raw, as received (RFC 9112 section 3.2); ``query`` is without its question mark and
    None when there was none at all. ``url`` is set only for absolute-form targets. ``host`` is the authority;
    ``headers`` holds it again as the Host header, in its place. With ``more`` the head follows in ``HeadPart``
    envelopes and only ``method`` and ``protocol`` are set here.
    """

    method: str
    path: bytes = b"/"
    query: bytes | None = None
    host: bytes = b""
    headers: Headers = ()
    body: bytes = b""
    end: bool = False
    protocol: str = "http"
    url: bytes = b""
    original_dst: str = ""
    more: bool = False

    @property
    def carried_bytes(self) -> int:
        return len(self.body)

    @property
    def cost(self) -> int:
        return (
            COST_OVERHEAD_BYTES
            + _text(self.method)
            + len(self.path)
            + (len(self.query) if self.query else 0)
            + len(self.host)
            + sum(map(len, self.headers))
            + len(self.body)
            + len(self.url)
            + (_text(self.original_dst) if self.original_dst else 0)
        )


class HttpResponse(
    msgspec.Struct, frozen=True, array_like=True, gc=False, tag_field="kind", tag=int(Kind.HTTP_RESPONSE)
):
    """The answer's head; a small whole response is this one envelope with ``body`` and ``end``."""

    status: int
    headers: Headers = ()
    body: bytes = b""
    end: bool = False
    more: bool = False

    @property
    def carried_bytes(self) -> int:
        return len(self.body)

    @property
    def cost(self) -> int:
        return COST_OVERHEAD_BYTES + sum(map(len, self.headers)) + len(self.body)


_ENDS: Final = frozenset({GrpcFrameType.TRAILER.value, GrpcFrameType.CLOSE.value, GrpcFrameType.WHOLE.value})


class GrpcFrame(msgspec.Struct, frozen=True, array_like=True, gc=False, tag_field="kind", tag=int(Kind.GRPC_FRAME)):
    """One step of a gRPC call. ``METADATA`` from the caller opens it; ``CLOSE`` and ``TRAILER`` end a direction.

    ``WHOLE`` opens a call too, and is all of what its caller says: ``data`` is the only message.
    ``more`` marks a message continued in the next frame, and metadata or a trailer that follows in ``HeadPart``s.
    """

    type: int
    service: str = ""
    method: str = ""
    metadata: Headers = ()
    data: bytes = b""
    status: int = 0
    message: str = ""
    more: bool = False

    @property
    def end(self) -> bool:
        return self.type in _ENDS and not self.more

    @property
    def carried_bytes(self) -> int:
        return len(self.data)

    @property
    def cost(self) -> int:
        return (
            COST_OVERHEAD_BYTES
            + (_text(self.service) + _text(self.method) if self.service or self.method else 0)
            + sum(map(len, self.metadata))
            + len(self.data)
            + (_text(self.message) if self.message else 0)
        )


class WebSocketFrame(msgspec.Struct, frozen=True, array_like=True, gc=False, tag_field="kind", tag=int(Kind.WS_FRAME)):
    """One WebSocket frame (RFC 6455 section 5.2). ``CLOSE`` carries the payload of section 5.5.1; empty means 1005."""

    opcode: int
    payload: bytes = b""
    fin: bool = True
    seq: int = 0
    headers: Headers = ()

    @property
    def end(self) -> bool:
        return self.opcode == WebSocketOpcode.CLOSE

    @property
    def carried_bytes(self) -> int:
        # Nothing of control frames is content: their opcodes have this bit (RFC 6455 section 5.5).
        return 0 if self.opcode & 8 else len(self.payload)

    @property
    def cost(self) -> int:
        return COST_OVERHEAD_BYTES + len(self.payload) + sum(map(len, self.headers))


class BodyChunk(msgspec.Struct, frozen=True, array_like=True, gc=False, tag_field="kind", tag=int(Kind.BODY_CHUNK)):
    """Bytes of an HTTP body or of a TCP conversation; ``end`` ends the sender's direction."""

    data: bytes = b""
    end: bool = False

    @property
    def carried_bytes(self) -> int:
        return len(self.data)

    @property
    def cost(self) -> int:
        return COST_OVERHEAD_BYTES + len(self.data)


class Trailers(msgspec.Struct, frozen=True, array_like=True, gc=False, tag_field="kind", tag=int(Kind.TRAILERS)):
    """Trailer fields (RFC 9110 section 6.5); always end the sender's direction, in ``HeadPart``s with ``more``."""

    headers: Headers = ()
    more: bool = False

    @property
    def end(self) -> bool:
        return not self.more

    @property
    def carried_bytes(self) -> int:
        return 0

    @property
    def cost(self) -> int:
        return COST_OVERHEAD_BYTES + sum(map(len, self.headers))


class TcpOpen(msgspec.Struct, frozen=True, array_like=True, gc=False, tag_field="kind", tag=int(Kind.TCP_OPEN)):
    """Opens a TCP conversation with a named upstream."""

    upstream: str
    original_dst: str = ""
    peer: str = ""
    end: bool = False

    @property
    def carried_bytes(self) -> int:
        return 0

    @property
    def cost(self) -> int:
        return (
            COST_OVERHEAD_BYTES
            + len(self.upstream.encode())
            + len(self.original_dst.encode())
            + len(self.peer.encode())
        )


class HeadPart(msgspec.Struct, frozen=True, array_like=True, gc=False, tag_field="kind", tag=int(Kind.HEAD_PART)):
    """A piece of a head too large for one envelope.

    The pieces' ``data``, joined, are the MessagePack encoding of the whole envelope payload, in every codec. The last
    piece has ``more`` unset; ``end`` is set on it alone, as the whole payload's is.
    """

    data: bytes = b""
    more: bool = False
    end: bool = False

    @property
    def carried_bytes(self) -> int:
        return 0

    @property
    def cost(self) -> int:
        return COST_OVERHEAD_BYTES + len(self.data)


class Error(msgspec.Struct, frozen=True, array_like=True, gc=False, tag_field="kind", tag=int(Kind.ERROR)):
    """Resets a session in both directions; on session 0 refuses a registration. Proto message ``TunnelError``."""

    code: str
    message: str = ""
    detail: str = ""


class WindowUpdate(
    msgspec.Struct, frozen=True, array_like=True, gc=False, tag_field="kind", tag=int(Kind.WINDOW_UPDATE)
):
    """Grants the peer ``bytes`` more credit on this session."""

    bytes: int


class StopSending(msgspec.Struct, frozen=True, array_like=True, gc=False, tag_field="kind", tag=int(Kind.STOP_SENDING)):
    """I need no more of your input: ends the peer's direction, and only that."""

    code: str


Opening: TypeAlias = HttpRequest | GrpcFrame | TcpOpen
"""What may open a session (a ``GrpcFrame`` only as METADATA or WHOLE)."""

SessionPayload: TypeAlias = (
    HttpRequest | HttpResponse | GrpcFrame | WebSocketFrame | BodyChunk | Trailers | TcpOpen | HeadPart
)
"""What a session carries under flow control."""
