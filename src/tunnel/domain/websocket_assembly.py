"""Whole WebSocket messages from the pieces that a session carries, for ends that know no pieces."""

from __future__ import annotations

from typing import Final

from tunnel.domain.envelopes import WebSocketFrame, WebSocketOpcode
from tunnel.domain.errors import ErrorCode, SessionError

__all__ = ["MessageAssembly"]

_CONTINUATION: Final = WebSocketOpcode.CONTINUATION.value
_TEXT: Final = WebSocketOpcode.TEXT.value
_BINARY: Final = WebSocketOpcode.BINARY.value


class MessageAssembly:
    """Joins the data frames of one direction.

    Args:
        max_message_bytes: Largest message that is put together.
    """

    __slots__ = ("_data", "_max_message_bytes", "_opcode")

    def __init__(self, max_message_bytes: int) -> None:
        self._max_message_bytes = max_message_bytes
        self._data = bytearray()  # a list of pieces may be many times as large as what is in them
        self._opcode = 0

    def add(self, frame: WebSocketFrame) -> str | bytes | None:
        """Take the next frame; the message that it completes, None while more is to come.

        Raises:
            SessionError: ``protocol_error``: the frame does not belong here, or text is not UTF-8; ``too_large``.
        """
        opcode = frame.opcode
        if opcode == _CONTINUATION:
            if not self._opcode:
                raise _wrong("a continuation of nothing")
        elif opcode not in (_TEXT, _BINARY) or self._opcode:
            raise _wrong(f"a frame with opcode {opcode} out of place")
        else:
            self._opcode = opcode
        held = self._data
        if len(held) + len(frame.payload) > self._max_message_bytes:
            raise SessionError(ErrorCode.TOO_LARGE, "a message is too large")
        if not frame.fin:
            held += frame.payload
            return None
        return self._whole(b"".join((held, frame.payload)) if held else frame.payload)

    def _whole(self, data: bytes) -> str | bytes:
        text = self._opcode == _TEXT
        self._data.clear()
        self._opcode = 0
        try:
            return data.decode() if text else data
        except UnicodeDecodeError as exc:
            raise _wrong("text that is not UTF-8") from exc


def _wrong(what: str) -> SessionError:
    return SessionError(ErrorCode.PROTOCOL_ERROR, "the conversation is malformed", detail=what)
