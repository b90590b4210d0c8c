"""As much of WebSocket as load generators and the upstream of echoes say. Source: RFC 6455."""

from __future__ import annotations

import base64
import hashlib
from typing import Final

from websockets.utils import apply_mask

from bench.lanes import Entrance
from bench.visitor import request_head

__all__ = ["ACCEPTED", "KEY_FIELD", "acceptance", "frame", "handshake"]

ACCEPTED: Final = b"HTTP/1.1 101 "
KEY_FIELD: Final = b"sec-websocket-key"
_KEY: Final = base64.b64encode(bytes(16)).decode()
_MASK: Final = b"\x35\xa1\x0f\xd2"
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_BINARY: Final = 0x82
_MASKED: Final = 0x80
_SHORT_BYTES: Final = 125


def handshake(entrance: Entrance) -> bytes:
    """What a visitor says first."""
    fields = (
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", _KEY),
    )
    return request_head(Entrance(entrance.address, (*entrance.fields, *fields)), "/socket")


def acceptance(key: bytes) -> bytes:
    """The answer to a handshake with ``key``."""
    accept = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
    return (
        ACCEPTED + b"Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )


def frame(payload: bytes, *, masked: bool) -> bytes:
    """A binary message of at most 125 bytes in one frame, masked as visitors have to."""
    assert len(payload) <= _SHORT_BYTES
    if not masked:
        return bytes((_BINARY, len(payload))) + payload
    return bytes((_BINARY, _MASKED | len(payload))) + _MASK + apply_mask(payload, _MASK)
