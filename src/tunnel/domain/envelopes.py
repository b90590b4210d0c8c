"""Envelopes: the typed messages of sessions and of the tunnel itself, and the frames that batch them.

These classes are at once the domain's values and, as MessagePack arrays by msgspec, the wire format of every transport
that has no encoding of its own. Fields are append-only. Header blocks are flat tuples of bytes, name and value
alternating, because maps lose repeated headers and order.

The payloads are in modules of their own and exported here: those of sessions, those of the tunnel, and their kinds.

Source: proto messages ``TunnelFrame`` and ``TunnelEnvelope``; docs/reference/protocol.md, envelopes.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import msgspec

from tunnel.domain.kinds import GrpcFrameType, Headers, Kind, WebSocketOpcode
from tunnel.domain.session_payloads import (
    BodyChunk,
    Error,
    GrpcFrame,
    HeadPart,
    HttpRequest,
    HttpResponse,
    Opening,
    SessionPayload,
    StopSending,
    TcpOpen,
    Trailers,
    WebSocketFrame,
    WindowUpdate,
)
from tunnel.domain.tunnel_payloads import (
    Close,
    ConfigApplied,
    ConfigRejected,
    ConfigSyncRequest,
    ConfigSyncResponse,
    GoAway,
    Ping,
    Pong,
    Register,
    RegisterResponse,
    ResumeRequest,
)

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
