"""WebSocket frames and handshakes as bytes, written down here and not by what is tested."""

from __future__ import annotations

import base64
import hashlib

from fidelity_sockets import RawSocket
from fidelity_wire import Wire

__all__ = [
    "BINARY",
    "CLOSE",
    "CONTINUATION",
    "KEY",
    "PING",
    "PONG",
    "TEXT",
    "accepting",
    "close",
    "frame",
    "hear",
    "hear_message",
    "key_of",
    "opened",
    "opening",
    "token",
]

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
"""Of the visitor; the example of RFC 6455 section 1.3."""

_MASK = b"\x01\x80\xfe\x37"


def token(key: bytes) -> bytes:
    return base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())


def opening(fields: bytes = b"", *, host: bytes = b"app.test", target: bytes = b"/") -> bytes:
    """The handshake that a visitor says, with ``fields``, whole lines."""
    return (
        b"GET %b HTTP/1.1\r\nHost: %b\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: %b\r\n%b\r\n" % (target, host, KEY, fields)
    )


def accepting(key: bytes, fields: bytes = b"") -> bytes:
    """What an upstream says to accept a handshake with ``key``."""
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %b\r\n%b\r\n" % (token(key), fields)
    )


def key_of(head: bytes) -> bytes:
    """The key that the upstream was given in ``head``, whose field names are in lower case."""
    return head.partition(b"\r\nsec-websocket-key: ")[2].partition(b"\r\n")[0]


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, masked: bool = False, reserved: int = 0) -> bytes:
    """One frame."""
    first = opcode | reserved | (0x80 if fin else 0)
    mask = 0x80 if masked else 0
    if len(payload) < 126:
        head = bytes([first, mask | len(payload)])
    elif len(payload) < 1 << 16:
        head = bytes([first, mask | 126]) + len(payload).to_bytes(2, "big")
    else:
        head = bytes([first, mask | 127]) + len(payload).to_bytes(8, "big")
    if not masked:
        return head + payload
    repeated = _MASK * (len(payload) // 4 + 1)
    size = len(payload)
    mixed = int.from_bytes(payload, "big") ^ int.from_bytes(repeated[:size], "big")
    return head + _MASK + mixed.to_bytes(size, "big")


def close(code: int, reason: bytes = b"") -> bytes:
    """The payload of a close frame."""
    return code.to_bytes(2, "big") + reason


def hear(end: RawSocket, *, masked: bool = False) -> tuple[int, bytes, bool]:
    """The next frame: opcode, payload, fin."""
    first, second = end.take(2)
    assert not first & 0x70
    assert bool(second & 0x80) is masked
    length = second & 0x7F
    if length >= 126:
        length = int.from_bytes(end.take(2 if length == 126 else 8), "big")
    mask = end.take(4) if masked else b""
    payload = end.take(length)
    if masked:
        repeated = (mask * (length // 4 + 1))[:length]
        payload = (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(length, "big")
    return first & 0x0F, payload, bool(first & 0x80)


def hear_message(end: RawSocket, *, masked: bool = False) -> tuple[int, bytes]:
    """The next message, in however many frames: opcode, payload."""
    opcode, payload, fin = hear(end, masked=masked)
    parts = [payload]
    while not fin:
        continued, payload, fin = hear(end, masked=masked)
        assert continued == CONTINUATION
        parts.append(payload)
    return opcode, b"".join(parts)


def opened(wire: Wire, *, host: bytes = b"app.test") -> tuple[RawSocket, RawSocket]:
    """A visitor and an upstream whose handshakes are over."""
    visitor = wire.visit(opening(host=host))
    upstream = wire.upstream()
    upstream.say(accepting(key_of(upstream.head())))
    assert visitor.head().startswith(b"HTTP/1.1 101 ")
    return visitor, upstream
