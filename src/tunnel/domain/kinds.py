"""The kinds of envelopes, and the enumerations inside them. The numbers are on the wire and never change."""

from __future__ import annotations

from enum import IntEnum
from typing import Final, TypeAlias

__all__ = ["PROTOCOLS", "GrpcFrameType", "Headers", "Kind", "WebSocketOpcode"]

PROTOCOLS: Final = ("http", "grpc", "websocket", "tcp")
"""Those that conversations are held in. A peer may write others into its requests, which nobody answers."""

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
    WHOLE = 5


class WebSocketOpcode(IntEnum):
    """Proto enum ``WebSocketFrame.Opcode``; the numbers are those of RFC 6455 section 5.2."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10
