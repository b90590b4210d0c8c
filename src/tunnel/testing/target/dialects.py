"""How a conversation is held in each protocol: the same things said in other envelopes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from tunnel.domain.call_head import CallHead
from tunnel.domain.envelopes import (
    BodyChunk,
    GrpcFrame,
    GrpcFrameType,
    HttpRequest,
    HttpResponse,
    Opening,
    SessionPayload,
    TcpOpen,
    WebSocketFrame,
    WebSocketOpcode,
)

__all__ = ["DIALECTS", "GRPC", "HTTP", "TCP", "WEBSOCKET", "Dialect"]


@dataclass(frozen=True)
class Dialect:
    """What is said in one protocol.

    Args:
        protocol: ``http``, ``grpc``, ``websocket`` or ``tcp``.
        head: Makes the opening of a conversation with more to come.
        piece: Makes the envelope of some bytes.
        end: Makes the envelope after the last.
        answer: Makes what begins an answer; None where it begins with its first piece.
        answered: Makes the envelope after the last of an answer.
        half_closes: Whether one side may end and hear the rest of the other; if not, an end is both sides'.
        tells_failure: Whether an end says that what it ends is not whole.
    """

    protocol: str
    head: Callable[[], Opening]
    piece: Callable[[bytes], SessionPayload]
    end: Callable[[], SessionPayload]
    answer: Callable[[], SessionPayload | None]
    answered: Callable[[], SessionPayload]
    half_closes: bool = True
    tells_failure: Callable[[SessionPayload], bool] = lambda _: False

    def data_of(self, payload: SessionPayload) -> bytes:
        """The bytes in an envelope, whichever way it goes."""
        match payload:
            case HttpRequest() | HttpResponse():
                return payload.body
            case BodyChunk():
                return payload.data
            case GrpcFrame():
                return payload.data
            case WebSocketFrame() if payload.opcode in _MESSAGES:
                return payload.payload
            case _:
                return b""


_MESSAGES: Final = (WebSocketOpcode.BINARY, WebSocketOpcode.CONTINUATION)

_BAD_GATEWAY: Final = (1014).to_bytes(2)
"""The close code of a conversation whose upstream is lost (docs/reference/websocket.md)."""

_FIELDS: Final = (b"host", b"kit.test")


def _last_chunk() -> BodyChunk:
    return BodyChunk(b"", end=True)


def _nothing() -> None:
    return None


def _close() -> WebSocketFrame:
    return WebSocketFrame(WebSocketOpcode.CLOSE, (1000).to_bytes(2))


HTTP: Final = Dialect(
    "http",
    lambda: HttpRequest(method="POST", host=b"kit.test", headers=(*_FIELDS, b"transfer-encoding", b"chunked")),
    BodyChunk,
    _last_chunk,
    lambda: HttpResponse(200),
    _last_chunk,
)
GRPC: Final = Dialect(
    "grpc",
    lambda: CallHead("kit.Kit", "Talk").frame(),
    lambda data: GrpcFrame(GrpcFrameType.DATA, data=data),
    lambda: GrpcFrame(GrpcFrameType.CLOSE),
    _nothing,
    lambda: GrpcFrame(GrpcFrameType.TRAILER),
)
WEBSOCKET: Final = Dialect(
    "websocket",
    lambda: HttpRequest(protocol="websocket", method="GET", host=b"kit.test", headers=_FIELDS),
    lambda data: WebSocketFrame(WebSocketOpcode.BINARY, data),
    _close,
    lambda: HttpResponse(101),
    _close,
    half_closes=False,
    tells_failure=lambda end: isinstance(end, WebSocketFrame) and end.payload[:2] == _BAD_GATEWAY,
)
TCP: Final = Dialect("tcp", lambda: TcpOpen("kit"), BodyChunk, _last_chunk, _nothing, _last_chunk)

DIALECTS: Final[Mapping[str, Dialect]] = MappingProxyType(
    {dialect.protocol: dialect for dialect in (HTTP, GRPC, WEBSOCKET, TCP)}
)
"""All, by protocol."""
