"""How WebSocket conversations close: codes, the payload of a close frame, and which failure becomes which code.

Source: RFC 6455 sections 5.5.1 and 7.4; the IANA registry of WebSocket close codes for 1012 to 1014.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tunnel.domain.envelopes import WebSocketFrame, WebSocketOpcode
from tunnel.domain.errors import ErrorCode, SessionError

__all__ = [
    "BAD_GATEWAY",
    "GOING_AWAY",
    "INVALID_DATA",
    "MESSAGE_TOO_BIG",
    "NORMAL",
    "NO_CODE",
    "PROTOCOL_VIOLATED",
    "TRY_AGAIN_LATER",
    "close_frame",
    "closing",
    "problem_of_close",
    "split_close",
]

NORMAL: Final = 1000
GOING_AWAY: Final = 1001
PROTOCOL_VIOLATED: Final = 1002
NO_CODE: Final = 1005
"""Stands for a close frame without a code; never sent."""
INVALID_DATA: Final = 1007
MESSAGE_TOO_BIG: Final = 1009
TRY_AGAIN_LATER: Final = 1013
BAD_GATEWAY: Final = 1014

_NEVER_SENT: Final = frozenset({1004, 1005, 1006, 1015})
_REGISTERED: Final = frozenset(range(1000, 1015)) - _NEVER_SENT
_PRIVATE: Final = range(3000, 5000)
"""Codes of libraries and applications."""

_MAX_REASON_BYTES: Final = 123
"""A control frame has room for 125, two of which are the code (RFC 6455 section 5.5)."""

_CLOSE: Final = WebSocketOpcode.CLOSE.value

_CODES: Final[Mapping[ErrorCode, int]] = {
    ErrorCode.NO_CLIENT: TRY_AGAIN_LATER,
    ErrorCode.OVERLOADED: TRY_AGAIN_LATER,
    ErrorCode.REFUSED: TRY_AGAIN_LATER,
}


def close_frame(code: int, reason: str = "") -> WebSocketFrame:
    """A close frame with ``code``, and as much of ``reason`` as fits; ``NO_CODE``: with neither."""
    if code == NO_CODE:
        return WebSocketFrame(_CLOSE)
    text = reason.encode()[:_MAX_REASON_BYTES].decode(errors="ignore").encode()
    return WebSocketFrame(_CLOSE, code.to_bytes(2, "big") + text)


def closing(error: SessionError) -> WebSocketFrame:
    """What a visitor is told of a conversation that was accepted and fails: the message, never the detail."""
    return close_frame(_CODES.get(error.code, BAD_GATEWAY), error.message)


def split_close(payload: bytes) -> tuple[int, str]:
    """Code and reason of a close frame's payload, which ``problem_of_close`` has passed; ``NO_CODE`` for none."""
    return (int.from_bytes(payload[:2], "big"), payload[2:].decode()) if payload else (NO_CODE, "")


def problem_of_close(payload: bytes) -> tuple[int, str] | None:
    """Why ``payload`` is not that of a close frame: the code to fail with, and the reason; None when it is one."""
    if not payload:
        return None
    if len(payload) > _MAX_REASON_BYTES + 2:
        return PROTOCOL_VIOLATED, "control frame too long"
    code = int.from_bytes(payload[:2], "big")
    if len(payload) < 2 or not (code in _REGISTERED or code in _PRIVATE):
        return PROTOCOL_VIOLATED, "invalid close code"
    try:
        payload[2:].decode()
    except UnicodeDecodeError:
        return INVALID_DATA, "the reason is not UTF-8"
    return None
