"""WebSocket messages of a session as the bytes of frames. Does no I/O.

A session carries a message in as many pieces as suits its windows. A message of up to ``PIECE_BYTES`` is put together
and written as one frame, whatever pieces it came in. A larger one is written in fragments as its pieces come, since
keeping it until it is whole would take as much memory as its sender likes.

What arrives here came through a peer, not only through our own reader, so the order of frames is checked.

Source: RFC 6455 sections 5.2 and 5.4.
"""

from __future__ import annotations

import secrets
from typing import Final

from tunnel.adapters.http.websocket_mask import apply_mask
from tunnel.adapters.http.websocket_reader import PIECE_BYTES
from tunnel.domain.envelopes import WebSocketFrame, WebSocketOpcode
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.websocket_close import problem_of_close

__all__ = ["WebSocketWriter"]

_CONTINUATION: Final = WebSocketOpcode.CONTINUATION.value
_TEXT: Final = WebSocketOpcode.TEXT.value
_BINARY: Final = WebSocketOpcode.BINARY.value
_CLOSE: Final = WebSocketOpcode.CLOSE.value

_FIN: Final = 0x80
_MASKED: Final = 0x80


class WebSocketWriter:
    """Writes the frames of one end of a connection.

    Args:
        masked: Whether to mask them.
    """

    __slots__ = ("_begun", "_held", "_masked", "_opcode")

    def __init__(self, *, masked: bool) -> None:
        self._masked = masked
        self._opcode = 0  # of the message under way, 0: none
        self._begun = False  # a fragment of it was written
        self._held = bytearray()  # what was not; a list of pieces may be many times as large as what is in them

    def write(self, frame: WebSocketFrame) -> bytes:
        """What to send now that ``frame`` has come; empty while more of a small message is awaited.

        Raises:
            SessionError: ``protocol_error``: the frame does not belong here.
        """
        opcode = frame.opcode
        if opcode == _CLOSE:
            problem = problem_of_close(frame.payload)
            if problem is not None:
                raise _wrong(problem[1])
            return self.frame(_CLOSE, frame.payload)
        if opcode == _CONTINUATION:
            if not self._opcode:
                raise _wrong("a continuation of nothing")
        elif opcode != _TEXT and opcode != _BINARY:
            raise _wrong(f"a frame with opcode {opcode}")
        elif self._opcode:
            raise _wrong("a message within a message")
        elif frame.fin:
            return self.frame(opcode, frame.payload)
        else:
            self._opcode = opcode
        return self._fragment(frame)

    def frame(self, opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
        """One frame, whatever came before it: a ping, a pong, a close."""
        length = len(payload)
        first = opcode | _FIN if fin else opcode
        masked = _MASKED if self._masked else 0
        if length < 126:
            head = bytes((first, masked | length))
        elif length < 65536:
            head = bytes((first, masked | 126, length >> 8, length & 0xFF))
        else:
            head = bytes((first, masked | 127)) + length.to_bytes(8, "big")
        if masked:
            key = secrets.token_bytes(4)  # not to be guessed by who chooses the payload (RFC 6455 section 10.3)
            return head + key + apply_mask(payload, key)
        return head + payload

    def _fragment(self, frame: WebSocketFrame) -> bytes:
        held = self._held
        if not frame.fin and len(held) + len(frame.payload) <= PIECE_BYTES:
            held += frame.payload
            return b""
        payload = b"".join((held, frame.payload)) if held else frame.payload
        held.clear()
        opcode = _CONTINUATION if self._begun else self._opcode
        self._begun = not frame.fin
        if frame.fin:
            self._opcode = 0
        return self.frame(opcode, payload, fin=frame.fin)


def _wrong(what: str) -> SessionError:
    return SessionError(ErrorCode.PROTOCOL_ERROR, "the conversation is malformed", detail=what)
