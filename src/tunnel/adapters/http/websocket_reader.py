"""WebSocket frames from the bytes of one end of a connection. Does no I/O.

1. A frame whose payload is small waits until all of it has arrived. A larger one is handed on piece by piece as it
   arrives, each piece a fragment of the message: what is kept of a message does not grow with its size.
2. A declared length that takes a message over the limit is refused before any of that payload is kept.
3. Text is checked to be UTF-8 as it arrives, across fragments.
4. No more than ``FRAMES_AT_ONCE`` are read in one go: a quarter of a MiB holds 43,000 frames without a payload, whose
   reading would hold up everybody else for a tenth of a second.
5. Whatever is wrong ends reading: what was right before it is still handed on, then ``violation`` says why.

Source: RFC 6455 sections 5 and 8.1. Extensions are never agreed on, so reserved bits are violations.
"""

from __future__ import annotations

import codecs
from typing import Final

from tunnel.adapters.http.websocket_mask import apply_mask
from tunnel.domain.envelopes import WebSocketFrame, WebSocketOpcode
from tunnel.domain.websocket_close import (
    INVALID_DATA,
    MESSAGE_TOO_BIG,
    PROTOCOL_VIOLATED,
    problem_of_close,
)

__all__ = ["FRAMES_AT_ONCE", "PIECE_BYTES", "WebSocketReader"]

PIECE_BYTES: Final = 64 * 1024
"""A frame up to this size is handed on whole; of a larger one, what has arrived."""

FRAMES_AT_ONCE: Final = 256
"""Frames, of all kinds, that are read before others have a turn: half a millisecond."""

_CONTINUATION: Final = WebSocketOpcode.CONTINUATION.value
_TEXT: Final = WebSocketOpcode.TEXT.value
_BINARY: Final = WebSocketOpcode.BINARY.value
_CLOSE: Final = WebSocketOpcode.CLOSE.value
_PING: Final = WebSocketOpcode.PING.value
_PONG: Final = WebSocketOpcode.PONG.value
"""Members of an enum are slow to look up, and every frame needs some."""

_FIN: Final = 0x80
_RESERVED: Final = 0x70
_MASKED: Final = 0x80
_MAX_CONTROL_BYTES: Final = 125

_Utf8: Final = codecs.getincrementaldecoder("utf-8")


class WebSocketReader:
    """Reads the frames that one end of a connection sends.

    Args:
        masked: Whether they must be masked: those of whoever asked for the connection are (RFC 6455 section 5.1).
        max_message_bytes: Largest message, however many frames it comes in.

    Attributes:
        closed: A close frame was read, or a violation; what comes after it is dropped.
        unread: There is more to read in what has arrived: ``feed`` nothing to go on.
        violation: Code and reason to fail the connection with; None while all was right.
    """

    __slots__ = (
        "_decoder",
        "_key",
        "_left_bytes",
        "_masked",
        "_max_message_bytes",
        "_message_bytes",
        "_opcode",
        "_rest",
        "_whole",
        "closed",
        "unread",
        "violation",
    )

    def __init__(self, *, masked: bool, max_message_bytes: int) -> None:
        self._masked = masked
        self._max_message_bytes = max_message_bytes
        self._rest = b""
        self._opcode = 0  # of the message under way, 0: none
        self._message_bytes = 0
        self._decoder: codecs.IncrementalDecoder | None = None
        self._left_bytes = 0  # of a large frame's payload
        self._key = b""  # of a large frame, turned to where its payload goes on
        self._whole = False  # a large frame is the last of its message
        self.closed = False
        self.unread = False
        self.violation: tuple[int, str] | None = None

    @property
    def kept_bytes(self) -> int:
        """Bytes that wait for more to come."""
        return len(self._rest)

    def feed(self, data: bytes) -> list[WebSocketFrame]:
        """Take in what arrived; the frames it completes, and pieces of large ones, in order, until ``FRAMES_AT_ONCE``.

        Data frames follow one another as messages do: a first one with its opcode, then continuations, the last with
        ``fin``. Pings are among them, pongs are not; a close frame is the last.
        """
        if self._rest:
            data = self._rest + data
            self._rest = b""
        frames: list[WebSocketFrame] = []
        at, end = 0, len(data)
        masked = self._masked
        turns = FRAMES_AT_ONCE
        while at < end and turns and not self.closed:
            turns -= 1
            if self._left_bytes:
                at = self._read_on(data, at, frames)
                continue
            if end - at < 2:
                break
            first, second = data[at], data[at + 1]
            length = second & 0x7F
            start = at + 2
            if length == 126:
                start += 2
                length = int.from_bytes(data[at + 2 : start], "big")
            elif length == 127:
                start += 8
                length = int.from_bytes(data[at + 2 : start], "big")
            if masked:
                start += 4
            # Judged by the first two bytes already; the length once it is there.
            if first & _RESERVED:
                self._violated(PROTOCOL_VIOLATED, "reserved bits must be 0")
            elif (second >= _MASKED) is not masked:
                self._violated(PROTOCOL_VIOLATED, "incorrect masking")
            elif end < start:
                break
            elif first & 0x08:
                if length > _MAX_CONTROL_BYTES:
                    self._violated(PROTOCOL_VIOLATED, "control frame too long")
                elif end < start + length:
                    break
                else:
                    key = data[start - 4 : start] if masked else b""
                    self._control(first, data[start : start + length], key, frames)
            elif self._admit(first & 0x0F, length):
                if end < start + length <= start + PIECE_BYTES:
                    self._message_bytes -= length
                    break
                key = data[start - 4 : start] if masked else b""
                if end < start + length:
                    self._left_bytes = length
                    self._key = key
                    self._whole = first >= _FIN
                    at = start
                    if not self._opcode:
                        self._opcode = first & 0x0F
                        at = self._read_on(data, at, frames, opcode=self._opcode)
                    continue
                payload = data[start : start + length]
                if key:
                    payload = apply_mask(payload, key)
                self._data(first & 0x0F, payload, frames, fin=first >= _FIN)
            at = start + length
        self.unread = False
        if at < end and not self.closed:
            self._rest = data[at:] if at else data
            self.unread = not turns
        return frames

    # -- inside

    def _admit(self, opcode: int, length: int) -> bool:
        """Whether a data frame may follow and fits; counts it."""
        if opcode == _CONTINUATION:
            if not self._opcode:
                return self._violated(PROTOCOL_VIOLATED, "unexpected continuation frame")
        elif opcode > _BINARY:
            return self._violated(PROTOCOL_VIOLATED, "invalid opcode")
        elif self._opcode:
            return self._violated(PROTOCOL_VIOLATED, "expected a continuation frame")
        self._message_bytes += length
        if self._message_bytes > self._max_message_bytes:
            return self._violated(MESSAGE_TOO_BIG, f"over {self._max_message_bytes} bytes")
        return True

    def _read_on(self, data: bytes, at: int, frames: list[WebSocketFrame], opcode: int = _CONTINUATION) -> int:
        """Hand on what is there of a large frame's payload; returns where it ends."""
        piece = data[at : at + self._left_bytes]
        size = len(piece)
        self._left_bytes -= size
        if self._key and size:
            piece = apply_mask(piece, self._key)
            turn = size % 4
            self._key = self._key[turn:] + self._key[:turn]
        fin = self._whole and not self._left_bytes
        self._fragment(opcode, piece, frames, fin=fin)
        return at + size

    def _data(self, opcode: int, payload: bytes, frames: list[WebSocketFrame], *, fin: bool) -> None:
        if not fin or opcode == _CONTINUATION:
            if not self._opcode:
                self._opcode = opcode
            self._fragment(opcode, payload, frames, fin=fin)
            return
        self._message_bytes = 0
        if opcode == _TEXT and not payload.isascii():
            try:
                payload.decode()
            except UnicodeDecodeError:
                self._violated(INVALID_DATA, "text is not UTF-8")
                return
        frames.append(WebSocketFrame(opcode, payload))

    def _fragment(self, opcode: int, payload: bytes, frames: list[WebSocketFrame], *, fin: bool) -> None:
        if self._opcode == _TEXT:
            if self._decoder is None:
                self._decoder = _Utf8()
            try:
                self._decoder.decode(payload, fin)
            except UnicodeDecodeError:
                self._violated(INVALID_DATA, "text is not UTF-8")
                return
        if fin:
            self._opcode = self._message_bytes = 0
            self._decoder = None
        frames.append(WebSocketFrame(opcode, payload, fin))

    def _control(self, first: int, payload: bytes, key: bytes, frames: list[WebSocketFrame]) -> None:
        opcode = first & 0x0F
        if opcode not in (_CLOSE, _PING, _PONG):
            self._violated(PROTOCOL_VIOLATED, "invalid opcode")
        elif first < _FIN:
            self._violated(PROTOCOL_VIOLATED, "fragmented control frame")
        else:
            if key:
                payload = apply_mask(payload, key)
            if opcode == _PING:
                frames.append(WebSocketFrame(_PING, payload))
            elif opcode == _CLOSE:
                problem = problem_of_close(payload)
                if problem is not None:
                    self._violated(*problem)
                else:
                    self.closed = True
                    frames.append(WebSocketFrame(_CLOSE, payload))

    def _violated(self, code: int, reason: str) -> bool:
        self.closed = True
        self.violation = code, reason
        return False
