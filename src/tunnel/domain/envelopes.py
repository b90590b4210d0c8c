"""Envelopes: the typed messages of sessions and of the tunnel itself, and the frames that batch them.

These classes are at once the domain's values and, as MessagePack arrays by msgspec, the wire format of every transport
that has no encoding of its own. Fields are append-only. Header blocks are flat tuples of bytes, name and value
alternating, because maps lose repeated headers and order.

``cost`` is what an envelope charges to windows and budgets: all bytes and text it carries, plus
``COST_OVERHEAD_BYTES``. Both ends compute it alike, so its definition is part of the wire protocol.

Source: proto messages ``TunnelFrame`` and ``TunnelEnvelope``; docs/reference/protocol.md, envelopes.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, TypeAlias

import msgspec

from tunnel.domain.limits import COST_OVERHEAD_BYTES, Limits

__all__ = [
    "KIND_OF",
    "BodyChunk",
    "Close",
    "ConfigApplied",
    "ConfigRejected",
    "ConfigSyncRequest",
    "ConfigSyncResponse",
    "Envelope",
    "Error",
    "Frame",
    "GoAway",
    "GrpcFrame",
    "GrpcFrameType",
    "HeadPart",
    "Headers",
    "HttpRequest",
    "HttpResponse",
    "Kind",
    "Opening",
    "Payload",
    "Ping",
    "Pong",
    "Register",
    "RegisterResponse",
    "ResumeRequest",
    "SessionPayload",
    "StopSending",
    "TcpOpen",
    "Trailers",
    "UnknownPayload",
    "WebSocketFrame",
    "WebSocketOpcode",
    "WindowUpdate",
]

Headers: TypeAlias = tuple[bytes, ...]
"""Names and values alternating: ``(b"host", b"a.test", b"accept", b"*/*")``."""


class Kind(IntEnum):
    """Envelope kinds; the numbers are those of the payload oneof of proto message ``TunnelEnvelope``."""

    HTTP_REQUEST = 5
    HTTP_RESPONSE = 6
    GRPC_FRAME = 7
    WS_FRAME = 8
    ERROR = 9
    BODY_CHUNK = 10
    TRAILERS = 11
    TCP_OPEN = 12
    HEAD_PART = 13
    WINDOW_UPDATE = 14
    STOP_SENDING = 15
    REGISTER = 16
    REGISTER_RESPONSE = 17
    CONFIG_SYNC_RESPONSE = 18
    CONFIG_APPLIED = 19
    CONFIG_REJECTED = 20
    PING = 21
    PONG = 22
    GO_AWAY = 23
    CLOSE = 24


class GrpcFrameType(IntEnum):
    """Proto enum ``GrpcFrame.Type``."""

    DATA = 0
    METADATA = 1
    TRAILER = 2
    ERROR = 3
    CLOSE = 4


class WebSocketOpcode(IntEnum):
    """Proto enum ``WebSocketFrame.Opcode``; the numbers are those of RFC 6455 section 5.2."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


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
    def cost(self) -> int:
        return (
            COST_OVERHEAD_BYTES
            + len(self.method)
            + len(self.path)
            + (len(self.query) if self.query else 0)
            + len(self.host)
            + sum(map(len, self.headers))
            + len(self.body)
            + len(self.url)
            + len(self.original_dst)
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
    def cost(self) -> int:
        return COST_OVERHEAD_BYTES + sum(map(len, self.headers)) + len(self.body)


class GrpcFrame(msgspec.Struct, frozen=True, array_like=True, gc=False, tag_field="kind", tag=int(Kind.GRPC_FRAME)):
    """One step of a gRPC call. ``METADATA`` from the caller opens it; ``CLOSE`` and ``TRAILER`` end a direction.

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
        return (self.type == GrpcFrameType.TRAILER or self.type == GrpcFrameType.CLOSE) and not self.more

    @property
    def cost(self) -> int:
        return (
            COST_OVERHEAD_BYTES
            + len(self.service)
            + len(self.method)
            + sum(map(len, self.metadata))
            + len(self.data)
            + len(self.message.encode())
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
    def cost(self) -> int:
        return COST_OVERHEAD_BYTES + len(self.payload) + sum(map(len, self.headers))


class BodyChunk(msgspec.Struct, frozen=True, array_like=True, gc=False, tag_field="kind", tag=int(Kind.BODY_CHUNK)):
    """Bytes of an HTTP body or of a TCP conversation; ``end`` ends the sender's direction."""

    data: bytes = b""
    end: bool = False

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
    def cost(self) -> int:
        return COST_OVERHEAD_BYTES + sum(map(len, self.headers))


class TcpOpen(msgspec.Struct, frozen=True, array_like=True, gc=False, tag_field="kind", tag=int(Kind.TCP_OPEN)):
    """Opens a TCP conversation with a named upstream."""

    upstream: str
    original_dst: str = ""
    peer: str = ""
    end: bool = False

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


class ResumeRequest(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a client says to continue a tunnel on a new link."""

    tunnel_id: str
    resume_token: bytes
    attempt: int
    received: int

    def __repr__(self) -> str:
        return f"ResumeRequest(tunnel_id={self.tunnel_id!r}, attempt={self.attempt}, received={self.received})"


class Register(msgspec.Struct, frozen=True, array_like=True, gc=False, tag_field="kind", tag=int(Kind.REGISTER)):
    """First envelope of a link, from the client. ``repr`` leaves the credential out."""

    versions: tuple[int, ...]
    client_id: str
    group_id: str
    instance_id: bytes
    credential: str
    capabilities: tuple[str, ...] = ()
    config_hash: str = ""
    resume: ResumeRequest | None = None
    limits: Limits = Limits()

    def __repr__(self) -> str:
        return f"Register(versions={self.versions}, client_id={self.client_id!r}, group_id={self.group_id!r})"


class RegisterResponse(
    msgspec.Struct, frozen=True, array_like=True, gc=False, tag_field="kind", tag=int(Kind.REGISTER_RESPONSE)
):
    """The server's acceptance. ``repr`` leaves the resume token out.

    ``config_hash`` is that of the group's configuration; when the client has applied it already, none follows.
    """

    tunnel_id: str
    resume_token: bytes
    server_id: str
    version: int
    resumed: bool = False
    received: int = 0
    capabilities: tuple[str, ...] = ()
    limits: Limits = Limits()
    config_hash: str = ""

    def __repr__(self) -> str:
        return f"RegisterResponse(tunnel_id={self.tunnel_id!r}, server_id={self.server_id!r}, version={self.version})"


class ConfigSyncRequest(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Asks what configuration a client of this group would get. Unary only; changes nothing."""

    client_id: str
    group_id: str
    credential: str

    def __repr__(self) -> str:
        return f"ConfigSyncRequest(client_id={self.client_id!r}, group_id={self.group_id!r})"


class ConfigSyncResponse(
    msgspec.Struct, frozen=True, array_like=True, gc=False, tag_field="kind", tag=int(Kind.CONFIG_SYNC_RESPONSE)
):
    """A group's configuration, or one part of it; ``snapshot`` is JSON. The last part has ``more`` unset."""

    version: int
    hash: str
    snapshot: bytes
    more: bool = False


class ConfigApplied(
    msgspec.Struct, frozen=True, array_like=True, gc=False, tag_field="kind", tag=int(Kind.CONFIG_APPLIED)
):
    version: int
    hash: str


class ConfigRejected(
    msgspec.Struct, frozen=True, array_like=True, gc=False, tag_field="kind", tag=int(Kind.CONFIG_REJECTED)
):
    version: int
    hash: str
    why: str


class Ping(msgspec.Struct, frozen=True, array_like=True, gc=False, tag_field="kind", tag=int(Kind.PING)):
    nonce: int


class Pong(msgspec.Struct, frozen=True, array_like=True, gc=False, tag_field="kind", tag=int(Kind.PONG)):
    nonce: int


class GoAway(msgspec.Struct, frozen=True, array_like=True, gc=False, tag_field="kind", tag=int(Kind.GO_AWAY)):
    """I take no session of yours above ``last_session_id``; those up to it finish."""

    last_session_id: int
    code: str = ""


class Close(msgspec.Struct, frozen=True, array_like=True, gc=False, tag_field="kind", tag=int(Kind.CLOSE)):
    """Ends the tunnel at once."""

    code: str = ""
    message: str = ""


Opening: TypeAlias = HttpRequest | GrpcFrame | TcpOpen
"""What may open a session (a ``GrpcFrame`` only as METADATA)."""

SessionPayload: TypeAlias = (
    HttpRequest | HttpResponse | GrpcFrame | WebSocketFrame | BodyChunk | Trailers | TcpOpen | HeadPart
)
"""What a session carries under flow control."""

Payload: TypeAlias = (
    SessionPayload
    | Error
    | WindowUpdate
    | StopSending
    | Register
    | RegisterResponse
    | ConfigSyncResponse
    | ConfigApplied
    | ConfigRejected
    | Ping
    | Pong
    | GoAway
    | Close
)


class UnknownPayload(msgspec.Struct, frozen=True, array_like=True, gc=False, tag_field="kind", tag=0):
    """Stands for a payload that could not be decoded: an unknown kind, or a known one that is malformed."""

    why: str


class Envelope(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One message of a session, or with ``session_id`` 0 of the tunnel itself.

    As MessagePack ``[session_id, kind, payload]``; the payload's array starts with ``kind`` again, so that a frame
    decodes in one step.
    """

    session_id: int
    kind: int
    payload: Payload | UnknownPayload


KIND_OF: Final[dict[type, int]] = {
    HttpRequest: Kind.HTTP_REQUEST.value,
    HttpResponse: Kind.HTTP_RESPONSE.value,
    GrpcFrame: Kind.GRPC_FRAME.value,
    WebSocketFrame: Kind.WS_FRAME.value,
    BodyChunk: Kind.BODY_CHUNK.value,
    Trailers: Kind.TRAILERS.value,
    TcpOpen: Kind.TCP_OPEN.value,
    HeadPart: Kind.HEAD_PART.value,
    Error: Kind.ERROR.value,
    WindowUpdate: Kind.WINDOW_UPDATE.value,
    StopSending: Kind.STOP_SENDING.value,
    Register: Kind.REGISTER.value,
    RegisterResponse: Kind.REGISTER_RESPONSE.value,
    ConfigSyncResponse: Kind.CONFIG_SYNC_RESPONSE.value,
    ConfigApplied: Kind.CONFIG_APPLIED.value,
    ConfigRejected: Kind.CONFIG_REJECTED.value,
    Ping: Kind.PING.value,
    Pong: Kind.PONG.value,
    GoAway: Kind.GO_AWAY.value,
    Close: Kind.CLOSE.value,
}
"""The kind each payload class is written with."""


class Frame(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What one transport message holds.

    ``seq`` numbers counted frames from 1 per tunnel and direction; 0 marks an uncounted frame. ``ack`` is the highest
    ``seq`` taken in from the peer.
    """

    envelopes: tuple[Envelope, ...]
    ack: int = 0
    seq: int = 0
