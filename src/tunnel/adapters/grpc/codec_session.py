"""What sessions carry, to and from protobuf: heads, bodies, frames of gRPC and WebSocket, credit, resets.

Encoders fill in an envelope that holds nothing yet; decoders read one whose payload is known to be theirs. Filling a
message in place is the fastest way in: building it apart and handing it over copies it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from tunnel.adapters.grpc._generated import tunnel_pb2 as pb
from tunnel.domain.envelopes import (
    BodyChunk,
    Error,
    GrpcFrame,
    GrpcFrameType,
    HeadPart,
    HttpRequest,
    HttpResponse,
    Payload,
    StopSending,
    TcpOpen,
    Trailers,
    WebSocketFrame,
    WindowUpdate,
)

__all__ = ["SESSION_DECODERS", "SESSION_ENCODERS", "Decoder", "Encoder"]

_OPENINGS: Final = frozenset({GrpcFrameType.METADATA.value, GrpcFrameType.WHOLE.value})

Encoder: TypeAlias = Callable[[pb.TunnelEnvelope, Any], None]
Decoder: TypeAlias = Callable[[pb.TunnelEnvelope], Payload]


def _encode_http_request(envelope: pb.TunnelEnvelope, payload: HttpRequest) -> None:
    envelope.protocol = payload.protocol
    message = envelope.http_request
    message.SetInParent()
    message.method = payload.method
    message.path = payload.path
    if payload.query is not None:
        message.query = payload.query
    message.host = payload.host
    message.headers.extend(payload.headers)
    if payload.body:
        message.body = payload.body
    if payload.end:
        message.end = True
    if payload.url:
        message.url = payload.url
    if payload.original_dst:
        message.original_dst = payload.original_dst
    if payload.more:
        message.more = True


def _decode_http_request(envelope: pb.TunnelEnvelope) -> HttpRequest:
    message = envelope.http_request
    return HttpRequest(
        message.method,
        message.path,
        message.query if message.HasField("query") else None,
        message.host,
        tuple(message.headers),
        message.body,
        message.end,
        envelope.protocol or "http",
        message.url,
        message.original_dst,
        message.more,
    )


def _encode_http_response(envelope: pb.TunnelEnvelope, payload: HttpResponse) -> None:
    message = envelope.http_response
    message.SetInParent()
    message.status = payload.status
    message.headers.extend(payload.headers)
    if payload.body:
        message.body = payload.body
    if payload.end:
        message.end = True
    if payload.more:
        message.more = True


def _decode_http_response(envelope: pb.TunnelEnvelope) -> HttpResponse:
    message = envelope.http_response
    return HttpResponse(message.status, tuple(message.headers), message.body, message.end, message.more)


def _encode_grpc_frame(envelope: pb.TunnelEnvelope, payload: GrpcFrame) -> None:
    if payload.service and payload.type in _OPENINGS:
        envelope.protocol = "grpc"
    message = envelope.grpc_frame
    message.SetInParent()
    message.type = payload.type  # type: ignore[assignment]  # open enum: numbers of later versions pass through
    message.service = payload.service
    message.method = payload.method
    message.metadata.extend(payload.metadata)
    message.data = payload.data
    message.status = payload.status
    message.message = payload.message
    message.more = payload.more


def _decode_grpc_frame(envelope: pb.TunnelEnvelope) -> GrpcFrame:
    message = envelope.grpc_frame
    return GrpcFrame(
        message.type,
        message.service,
        message.method,
        tuple(message.metadata),
        message.data,
        message.status,
        message.message,
        message.more,
    )


def _encode_ws_frame(envelope: pb.TunnelEnvelope, payload: WebSocketFrame) -> None:
    message = envelope.ws_frame
    message.SetInParent()
    message.opcode = payload.opcode  # type: ignore[assignment]  # open enum, as above
    message.payload = payload.payload
    message.fin = payload.fin
    message.seq = payload.seq
    message.headers.extend(payload.headers)


def _decode_ws_frame(envelope: pb.TunnelEnvelope) -> WebSocketFrame:
    message = envelope.ws_frame
    return WebSocketFrame(message.opcode, message.payload, message.fin, message.seq, tuple(message.headers))


def _encode_body_chunk(envelope: pb.TunnelEnvelope, payload: BodyChunk) -> None:
    message = envelope.body_chunk
    message.SetInParent()
    message.data = payload.data
    message.end = payload.end


def _decode_body_chunk(envelope: pb.TunnelEnvelope) -> BodyChunk:
    message = envelope.body_chunk
    return BodyChunk(message.data, message.end)


def _encode_trailers(envelope: pb.TunnelEnvelope, payload: Trailers) -> None:
    message = envelope.trailers
    message.SetInParent()
    message.headers.extend(payload.headers)
    message.more = payload.more


def _decode_trailers(envelope: pb.TunnelEnvelope) -> Trailers:
    message = envelope.trailers
    return Trailers(tuple(message.headers), message.more)


def _encode_tcp_open(envelope: pb.TunnelEnvelope, payload: TcpOpen) -> None:
    envelope.protocol = "tcp"
    message = envelope.tcp_open
    message.SetInParent()
    message.upstream = payload.upstream
    message.original_dst = payload.original_dst
    message.peer = payload.peer
    message.end = payload.end


def _decode_tcp_open(envelope: pb.TunnelEnvelope) -> TcpOpen:
    message = envelope.tcp_open
    return TcpOpen(message.upstream, message.original_dst, message.peer, message.end)


def _encode_head_part(envelope: pb.TunnelEnvelope, payload: HeadPart) -> None:
    message = envelope.head_part
    message.SetInParent()
    message.data = payload.data
    message.more = payload.more
    message.end = payload.end


def _decode_head_part(envelope: pb.TunnelEnvelope) -> HeadPart:
    message = envelope.head_part
    return HeadPart(message.data, message.more, message.end)


def _encode_error(envelope: pb.TunnelEnvelope, payload: Error) -> None:
    message = envelope.error
    message.SetInParent()
    message.code = payload.code
    message.message = payload.message
    message.detail = payload.detail


def _decode_error(envelope: pb.TunnelEnvelope) -> Error:
    message = envelope.error
    return Error(message.code, message.message, message.detail)


def _encode_window_update(envelope: pb.TunnelEnvelope, payload: WindowUpdate) -> None:
    message = envelope.window_update
    message.SetInParent()
    message.bytes = payload.bytes


def _decode_window_update(envelope: pb.TunnelEnvelope) -> WindowUpdate:
    return WindowUpdate(envelope.window_update.bytes)


def _encode_stop_sending(envelope: pb.TunnelEnvelope, payload: StopSending) -> None:
    message = envelope.stop_sending
    message.SetInParent()
    message.code = payload.code


def _decode_stop_sending(envelope: pb.TunnelEnvelope) -> StopSending:
    return StopSending(envelope.stop_sending.code)


SESSION_ENCODERS: Final[dict[type, Encoder]] = {
    HttpRequest: _encode_http_request,
    HttpResponse: _encode_http_response,
    GrpcFrame: _encode_grpc_frame,
    WebSocketFrame: _encode_ws_frame,
    BodyChunk: _encode_body_chunk,
    Trailers: _encode_trailers,
    TcpOpen: _encode_tcp_open,
    HeadPart: _encode_head_part,
    Error: _encode_error,
    WindowUpdate: _encode_window_update,
    StopSending: _encode_stop_sending,
}
"""By payload class."""

SESSION_DECODERS: Final[dict[str, Decoder]] = {
    "http_request": _decode_http_request,
    "http_response": _decode_http_response,
    "grpc_frame": _decode_grpc_frame,
    "ws_frame": _decode_ws_frame,
    "body_chunk": _decode_body_chunk,
    "trailers": _decode_trailers,
    "tcp_open": _decode_tcp_open,
    "head_part": _decode_head_part,
    "error": _decode_error,
    "window_update": _decode_window_update,
    "stop_sending": _decode_stop_sending,
}
"""By field name in proto oneof ``TunnelEnvelope.payload``."""
