"""Envelopes too large for one: split before framing, heads joined again after arrival.

Bodies become ``BodyChunk``s, WebSocket messages fragments, gRPC messages frames with ``more``. A head whose own fields
are too large goes as a bare envelope of its kind with ``more`` set, then the MessagePack encoding of the whole payload
in ``HeadPart``s.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgspec.structs import replace

from tunnel.domain.envelopes import (
    BodyChunk,
    GrpcFrame,
    GrpcFrameType,
    HeadPart,
    HttpRequest,
    HttpResponse,
    Payload,
    SessionPayload,
    TcpOpen,
    Trailers,
    WebSocketFrame,
    WebSocketOpcode,
)
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.limits import COST_OVERHEAD_BYTES, MAX_FRAME_BYTES
from tunnel.domain.messagepack import FrameError, decode_payload, encode_payload

__all__ = ["MAX_ENVELOPE_BYTES", "HeadAssembly", "HeadLimits", "encoded_bound", "needs_assembly", "split"]

MAX_ENVELOPE_BYTES = MAX_FRAME_BYTES // 2
"""Largest encoding of one envelope: the share of a frame that is open to anything, whatever else waits."""

_FIELD_OVERHEAD_BYTES = 5
"""Most that any codec spends on the tag and length of one header name or value."""

_MAX_PROTOCOL_CHARS = 16
"""The protocol of a request, one of a few short words, is not charged at all."""

_WITHOUT_HEADERS: Final = frozenset({BodyChunk, HeadPart, TcpOpen})
_HTTP_HEADS: Final = frozenset({HttpRequest, HttpResponse, Trailers})

_MAX_PROTOCOL_BYTES = 4 * _MAX_PROTOCOL_CHARS


def encoded_bound(payload: SessionPayload, cost: int) -> int:
    """Most bytes that ``payload`` of ``cost`` takes in any codec.

    Its cost holds ``COST_OVERHEAD_BYTES`` for the envelope and the fields of fixed size, but nothing for the length of
    each header, which outweighs a header of one byte.
    """
    kind = type(payload)
    if kind in _WITHOUT_HEADERS:
        return cost
    headers = payload.metadata if kind is GrpcFrame else payload.headers  # type: ignore[union-attr]
    return cost + _FIELD_OVERHEAD_BYTES * len(headers) + _MAX_PROTOCOL_BYTES


class HeadLimits:
    """What the header fields of one payload from the peer may hold.

    Its cost bounds their bytes, but not their number: a field that is empty costs nothing and still takes memory.

    Args:
        max_items: Most names and values together.
        max_bytes: Most bytes of a head beside its body.
    """

    __slots__ = ("max_bytes", "max_items")

    def __init__(self, *, max_items: int, max_bytes: int) -> None:
        self.max_items = max_items
        self.max_bytes = max_bytes

    def problem(self, payload: SessionPayload, cost: int) -> SessionError | None:
        """What is wrong with the head that is or begins ``payload``; None when it may be kept.

        Args:
            payload: Unsplit, or put together from parts.
            cost: Of ``payload``; 0 when its bytes have been bounded before.
        """
        kind = type(payload)
        if kind in _WITHOUT_HEADERS:
            return None
        headers = payload.metadata if kind is GrpcFrame else payload.headers  # type: ignore[union-attr]
        items = len(headers)
        if items > self.max_items:
            return SessionError(ErrorCode.TOO_LARGE, "the head has too many fields")
        if items & 1:
            return SessionError(ErrorCode.PROTOCOL_ERROR, "a header field has a name and no value")
        if cost > self.max_bytes and cost - COST_OVERHEAD_BYTES - _body_bytes(payload) > self.max_bytes:
            return SessionError(ErrorCode.TOO_LARGE, "the head is too large")
        if kind is HttpRequest and len(payload.protocol) > _MAX_PROTOCOL_CHARS:  # type: ignore[union-attr]
            return SessionError(ErrorCode.PROTOCOL_ERROR, "a request is of no known protocol")
        return None


def _body_bytes(payload: SessionPayload) -> int:
    match payload:
        case HttpRequest() | HttpResponse():
            return len(payload.body)
        case GrpcFrame() | BodyChunk() | HeadPart():
            return len(payload.data)
        case WebSocketFrame():
            return len(payload.payload)
        case Trailers() | TcpOpen():
            return 0


def split(payload: SessionPayload, limit: int) -> Iterator[SessionPayload]:
    """``payload`` in pieces, each of a cost of at most ``limit``, in order.

    Raises:
        SessionError: ``too_large``: a piece that cannot be split, such as an upstream's name.
    """
    cost = payload.cost
    if cost <= limit and encoded_bound(payload, cost) <= MAX_ENVELOPE_BYTES:
        yield payload
        return
    match payload:
        case BodyChunk():
            yield from _body(payload.data, limit, end=payload.end)
        case HttpRequest() | HttpResponse():
            if not payload.body:
                yield from _head(payload, limit)
                return
            yield from split(replace(payload, body=b"", end=False), limit)
            yield from _body(payload.body, limit, end=payload.end)
        case Trailers():
            yield from _head(payload, limit)
        case GrpcFrame(type=GrpcFrameType.DATA):
            pieces = list(_slices(payload.data, limit))
            for index, piece in enumerate(pieces):
                yield replace(payload, data=piece, more=payload.more or index < len(pieces) - 1)
        case GrpcFrame(type=GrpcFrameType.WHOLE):
            yield from split(replace(payload, type=GrpcFrameType.METADATA.value, data=b""), limit)
            yield from split(GrpcFrame(GrpcFrameType.DATA.value, data=payload.data), limit)
            yield GrpcFrame(GrpcFrameType.CLOSE.value)
        case GrpcFrame():
            yield from _head(payload, limit)
        case WebSocketFrame(opcode=WebSocketOpcode.TEXT | WebSocketOpcode.BINARY | WebSocketOpcode.CONTINUATION):
            pieces = list(_slices(payload.payload, limit))
            for index, piece in enumerate(pieces):
                opcode = payload.opcode if index == 0 else WebSocketOpcode.CONTINUATION.value
                yield WebSocketFrame(opcode, piece, fin=payload.fin and index == len(pieces) - 1)
        case WebSocketFrame() | TcpOpen() | HeadPart():
            raise SessionError(ErrorCode.TOO_LARGE, f"a {type(payload).__name__} of this size cannot be carried")


def _slices(data: bytes, limit: int) -> Iterator[bytes]:
    size = limit - COST_OVERHEAD_BYTES
    return (data[start : start + size] for start in range(0, len(data), size))


def _body(data: bytes, limit: int, *, end: bool) -> Iterator[BodyChunk]:
    left = len(data)
    for piece in _slices(data, limit):
        left -= len(piece)
        yield BodyChunk(piece, end=end and not left)


def _head(payload: HttpRequest | HttpResponse | Trailers | GrpcFrame, limit: int) -> Iterator[SessionPayload]:
    match payload:
        case HttpRequest():
            yield HttpRequest(payload.method, path=b"", protocol=payload.protocol, more=True)
        case HttpResponse():
            yield HttpResponse(payload.status, more=True)
        case Trailers():
            yield Trailers(more=True)
        case GrpcFrame():
            yield GrpcFrame(payload.type, more=True)
    encoded = encode_payload(payload)
    left = len(encoded)
    for piece in _slices(encoded, limit):
        left -= len(piece)
        yield HeadPart(piece, more=left > 0, end=payload.end and not left)


class HeadAssembly:
    """Joins the parts of one head.

    Args:
        announced: The bare envelope that came first.
        max_bytes: Largest encoded head taken.
    """

    __slots__ = ("_announced", "_encoded", "_max_bytes")

    def __init__(self, announced: SessionPayload, max_bytes: int) -> None:
        self._announced = announced
        self._max_bytes = max_bytes
        # Not a list: the parts may be of a byte each.
        self._encoded = bytearray()

    def add(self, part: SessionPayload) -> SessionPayload | None:
        """Take the next envelope of the session; the whole payload once it is complete.

        Raises:
            SessionError: ``too_large``, or ``protocol_error`` for anything but parts of such a head.
        """
        if not isinstance(part, HeadPart):
            raise SessionError(ErrorCode.PROTOCOL_ERROR, "a head was not completed")
        if len(self._encoded) + len(part.data) > self._max_bytes:
            raise SessionError(ErrorCode.TOO_LARGE, "the head is too large")
        self._encoded += part.data
        if part.more:
            if not part.data:
                raise SessionError(ErrorCode.PROTOCOL_ERROR, "a part of a head was empty")
            return None
        try:
            payload = decode_payload(bytes(self._encoded))
        except FrameError as exc:
            raise SessionError(ErrorCode.PROTOCOL_ERROR, "a head could not be decoded", detail=str(exc)) from exc
        if not self._completes(payload, part):
            raise SessionError(ErrorCode.PROTOCOL_ERROR, "a head is not what was announced")
        return payload  # type: ignore[return-value]  # of the type of what was announced

    def _completes(self, payload: Payload, last: HeadPart) -> bool:
        announced = self._announced
        if type(payload) is not type(announced) or needs_assembly(payload) or payload.end != last.end:
            return False
        return not isinstance(payload, GrpcFrame) or payload.type == announced.type  # type: ignore[union-attr]


def needs_assembly(payload: object) -> bool:
    """Whether ``payload`` only announces a head that follows in parts."""
    kind = type(payload)
    if kind in _HTTP_HEADS:
        return payload.more  # type: ignore[attr-defined, no-any-return]
    return kind is GrpcFrame and payload.more and payload.type != GrpcFrameType.DATA  # type: ignore[attr-defined]
