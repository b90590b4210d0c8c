"""How far a conversation has come, by what was said in it, whatever pieces that was said in."""

from __future__ import annotations

from collections import Counter

from tunnel.domain.envelopes import (
    BodyChunk,
    Close,
    ConfigApplied,
    ConfigRejected,
    ConfigSyncResponse,
    Envelope,
    Error,
    GoAway,
    GrpcFrame,
    HeadPart,
    HttpRequest,
    HttpResponse,
    Ping,
    Pong,
    Register,
    RegisterResponse,
    StopSending,
    TcpOpen,
    Trailers,
    UnknownPayload,
    WebSocketFrame,
    WindowUpdate,
)

__all__ = ["progress"]

_HEADS = HttpRequest | HttpResponse | HeadPart
"""Of what is in parts, the last one counts."""


def progress(envelope: Envelope) -> Counter[str]:
    """What an envelope adds to its session, whatever pieces it is said in."""
    name = f"session {envelope.session_id}"
    count: Counter[str] = Counter()
    match envelope.payload:
        case Ping() | WindowUpdate() | UnknownPayload():
            return count
        case Pong() | Register() | RegisterResponse() | ConfigApplied() | ConfigRejected() | GoAway():
            count[type(envelope.payload).__name__] += 1
        case Close(code):
            count[f"Close {code}"] += 1
        case ConfigSyncResponse(more=more):
            count["ConfigSyncResponse"] += not more
        case Error(code) if not envelope.session_id:
            count[f"Error {code}"] += 1
        case Error(code):
            count[f"{name}: error {code}"] += 1
        case StopSending():
            count[f"{name}: stop_sending"] += 1
        case payload:
            if isinstance(payload, TcpOpen) or (isinstance(payload, _HEADS) and not payload.more):
                count[f"{name}: head"] += 1
            count[f"{name}: bytes"] += payload.carried_bytes
            count[f"{name}: end"] += payload.end
            if isinstance(payload, BodyChunk | Trailers | GrpcFrame | WebSocketFrame):
                count[f"{name}: messages"] += _messages(payload)
    return +count


def _messages(payload: BodyChunk | Trailers | GrpcFrame | WebSocketFrame) -> int:
    match payload:
        case GrpcFrame(more=more):
            return not more
        case WebSocketFrame(fin=fin):
            return fin
        case _:
            return 0
