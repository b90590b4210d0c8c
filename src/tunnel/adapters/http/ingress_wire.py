"""Responses as bytes of HTTP/1.1.

Source: RFC 9112 sections 4, 6 and 7.
"""

from __future__ import annotations

from typing import Final

from tunnel.domain.envelopes import Headers
from tunnel.domain.reason_phrases import REASON_PHRASES

__all__ = ["CONTINUE", "LAST_CHUNK", "STATUS_START", "chunk", "render_head", "render_switch", "render_trailers"]

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK: Final = b"0\r\n\r\n"

STATUS_START: Final = b"HTTP/1.1 "
"""What every response begins with, whatever the version of the request (RFC 9110 section 2.5)."""

_STATUS_LINES: Final = {
    status: b"%b%d %b\r\n" % (STATUS_START, status, REASON_PHRASES.get(status, "").encode())
    for status in range(200, 600)
}


def render_head(status: int, headers: Headers, extra: bytes = b"") -> bytes:
    """A head up to and with its empty line.

    Args:
        status: 200 to 599.
        headers: Checked.
        extra: Whole lines that follow them.
    """
    flat = iter(headers)
    lines = b"\r\n".join(map(b": ".join, zip(flat, flat, strict=True)))
    return (
        b"%b%b\r\n%b\r\n" % (_STATUS_LINES[status], lines, extra) if lines else _STATUS_LINES[status] + extra + b"\r\n"
    )


def render_switch(token: bytes, headers: Headers) -> bytes:
    """The head that makes the connection a WebSocket (RFC 6455 section 4.2.2).

    Args:
        token: Value of Sec-WebSocket-Accept.
        headers: Checked.
    """
    flat = iter(headers)
    lines = b"".join(b"%b: %b\r\n" % pair for pair in zip(flat, flat, strict=True))
    return (
        b"%b101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: %b\r\n%b\r\n"
        % (STATUS_START, token, lines)
    )


def chunk(data: bytes) -> tuple[bytes, bytes, bytes]:
    """One chunk, which is not empty, in parts to be written together."""
    return b"%x\r\n" % len(data), data, b"\r\n"


def render_trailers(headers: Headers) -> bytes:
    """The last chunk, with checked trailer fields after it."""
    flat = iter(headers)
    return b"0\r\n%b\r\n" % b"".join(b"%b: %b\r\n" % pair for pair in zip(flat, flat, strict=True))
