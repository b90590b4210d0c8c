"""What was said in a conversation, whatever pieces it was said in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import msgspec

from tunnel.domain.envelopes import (
    BodyChunk,
    GrpcFrame,
    GrpcFrameType,
    HeadPart,
    HttpRequest,
    HttpResponse,
    SessionPayload,
    TcpOpen,
    Trailers,
    WebSocketFrame,
    WebSocketOpcode,
)
from tunnel.domain.messagepack import decode_payload

__all__ = ["plain", "transcript"]

_RUNS = re.compile(rb"(.)\1{31,}", re.DOTALL)
_ABOUT_FRAMING = ("body", "end", "more", "data", "type")
_fields = cache(msgspec.structs.fields)


def plain(value: Any, *without: str) -> Any:
    """``value`` as JSON has it: structs by the names of their fields, those with their defaults left out."""
    match value:
        case msgspec.Struct():
            named = ((field, getattr(value, field.name)) for field in _fields(type(value)))
            return {
                field.name: plain(each) for field, each in named if field.name not in without and each != field.default
            }
        case bytes():
            pieces = _pieces(value)
            return pieces[0] if len(pieces) == 1 else {"joined": pieces}
        case tuple() | list():
            return [plain(each) for each in value]
        case _:
            return value


def _pieces(value: bytes) -> list[Any]:
    """``value`` as text, its long runs of one byte by their length."""
    pieces: list[Any] = []
    end = 0
    for run in _RUNS.finditer(value):
        if run.start() > end:
            pieces.append(_text(value[end : run.start()]))
        pieces.append({"repeat": _text(run[1]), "times": len(run[0])})
        end = run.end()
    return [*pieces, _text(value[end:])] if end < len(value) or not pieces else pieces


def _text(value: bytes) -> str:
    return "".join(chr(each) if 32 <= each < 127 and each != 92 else f"\\x{each:02x}" for each in value)


def transcript(payloads: Iterable[SessionPayload]) -> list[Any]:
    """The heads, data, message boundaries and ends among ``payloads``; data that came in pieces is one."""
    said: list[Any] = []
    for payload in _joined(payloads):
        for item in _items(payload):
            if isinstance(item, bytes):
                if not item:
                    continue
                if said and isinstance(said[-1], bytes):
                    said[-1] += item
                    continue
            said.append(item)
    return [plain(item) if isinstance(item, bytes) else item for item in said]


def _joined(payloads: Iterable[SessionPayload]) -> Iterator[SessionPayload]:
    """``payloads`` with the heads whole that came in parts."""
    parts: list[bytes] = []
    for payload in payloads:
        match payload:
            case HeadPart(data, more):
                parts.append(data)
                if not more:
                    yield decode_payload(b"".join(parts))
                    parts.clear()
            case HttpRequest(more=True) | HttpResponse(more=True) | Trailers(more=True):
                continue
            case GrpcFrame(more=True, type=kind) if kind != GrpcFrameType.DATA:
                continue
            case _:
                yield payload


def _items(payload: SessionPayload) -> list[Any]:
    end = ["end"] if payload.end else []
    match payload:
        case HttpRequest() | HttpResponse():
            return [{"head": plain(payload, *_ABOUT_FRAMING)}, payload.body, *end]
        case TcpOpen():
            return [{"head": plain(payload, *_ABOUT_FRAMING)}, *end]
        case BodyChunk():
            return [payload.data, *end]
        case Trailers():
            return [{"trailers": plain(payload.headers)}, *end]
        case GrpcFrame(type=GrpcFrameType.DATA):
            return [payload.data, *([] if payload.more else ["message"])]
        case GrpcFrame(type=GrpcFrameType.WHOLE):
            return [{"metadata": plain(payload, *_ABOUT_FRAMING)}, payload.data, "message", *end]
        case GrpcFrame():
            name = GrpcFrameType(payload.type).name.lower()
            return [{name: plain(payload, *_ABOUT_FRAMING)}, *end]
        case WebSocketFrame(opcode=WebSocketOpcode.CLOSE):
            return [{"close": plain(payload.payload)}, *end]
        case WebSocketFrame():
            kind = WebSocketOpcode(payload.opcode).name.lower()
            begins = [] if kind == "continuation" else [kind]
            return [*begins, payload.payload, *(["message"] if payload.fin else [])]
        case _:
            return [{type(payload).__name__: plain(payload)}]
