"""What the two ends say, byte for byte, and in what it may differ."""

from __future__ import annotations

import re

__all__ = ["CHUNKED", "LAST_CHUNK", "asked", "chunk", "folded", "told"]

CHUNKED = b"transfer-encoding: chunked\r\n"
LAST_CHUNK = b"0\r\n\r\n"

_NAME = re.compile(rb"(?m)^[^:\r\n]+:")


def folded(head: bytes) -> bytes:
    """A head with its field names in lower case, which is all about them that may differ."""
    first, line_end, fields = head.partition(b"\r\n")
    return first + line_end + _NAME.sub(lambda name: name[0].lower(), fields)


def asked(
    fields: bytes = b"", *, method: bytes = b"GET", target: bytes = b"/", host: bytes = b"app.test", version: int = 1
) -> bytes:
    """The head that a visitor says: its Host first, then ``fields``, whole lines."""
    return b"%b %b HTTP/1.%d\r\nHost: %b\r\n%b\r\n" % (method, target, version, host, fields)


def told(
    fields: bytes = b"",
    *,
    method: bytes = b"GET",
    target: bytes = b"/",
    host: bytes = b"app.test",
    framing: bytes = b"",
    visited: bytes = b"",
) -> bytes:
    """The head that the upstream hears, ``folded``, when a visitor at 127.0.0.1 said ``asked`` of the same.

    Args:
        fields: Whole lines, names in lower case.
        method: Of the request.
        target: Of the request.
        host: Its Host.
        framing: Lines that are added since the body's length is not known.
        visited: The authority that the visitor asked for, when the upstream is told another Host.
    """
    forwarded = b"x-forwarded-for: 127.0.0.1\r\nx-forwarded-proto: http\r\nx-forwarded-host: %b\r\n" % (visited or host)
    return b"%b %b HTTP/1.1\r\nhost: %b\r\n%b%b%b\r\n" % (method, target, host, fields, forwarded, framing)


def chunk(data: bytes) -> bytes:
    """``data`` as one chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)
