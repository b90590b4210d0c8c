"""Requests as they are written to an upstream: head, and framing of the body.

Framing is decided here, whatever the visitor used: a whole body gets its Content-Length, a streamed one keeps the
Content-Length it was announced with and is held to it, and without one it is chunked (RFC 9112 section 6).

What arrives here came through a peer, not only through our own parser, so it is checked before it is written:
nothing in it can add a header line or a request of its own (RFC 9112 section 11.1).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from tunnel.adapters.http.fields import pairs, strip_hop_by_hop, without
from tunnel.domain.envelopes import Headers, HttpRequest
from tunnel.domain.errors import ErrorCode, SessionError

__all__ = ["CHUNKED", "render_head", "render_trailers"]

CHUNKED: Final = -1
"""Stands in place of a length for a body in chunks."""

_EXPECT_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
"""Methods that say so when their body is empty (RFC 9110 section 8.6)."""

_REQUEST_LINE: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+ [^\x00-\x20\x7f]+ HTTP/1\.1\r\n").fullmatch
_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_DIGITS: Final = re.compile(rb"[0-9]{1,18}").fullmatch

_NOT_IN_TRAILERS: Final = frozenset(
    {b"authorization", b"content-encoding", b"content-length", b"content-range", b"content-type", b"cookie", b"host"}
)
"""Fields that frame, route or authenticate are not taken from trailers (RFC 9110 section 6.5.1)."""


_PLAIN: Final = 0
_HOST: Final = 1
_CONTENT_LENGTH: Final = 1 << 20
_LEFT_OUT: Final = 1 << 40
_MALFORMED: Final = 1 << 60
"""What a field name means to whoever writes the head. Their sum over a head counts each kind: one addition per field
tells the common heads, one Host and at most one Content-Length, from those that need care."""

_MEANINGS: Final = {
    b"host": _HOST,
    b"content-length": _CONTENT_LENGTH,
    b"expect": _LEFT_OUT,
    b"connection": _LEFT_OUT,
    b"keep-alive": _LEFT_OUT,
    b"proxy-connection": _LEFT_OUT,
    b"proxy-authenticate": _LEFT_OUT,
    b"proxy-authorization": _LEFT_OUT,
    b"te": _LEFT_OUT,
    b"transfer-encoding": _LEFT_OUT,
    b"upgrade": _LEFT_OUT,
}


@lru_cache(maxsize=2048)
def _meaning(name: bytes) -> int:
    """Cached, since names repeat from request to request."""
    if _TOKEN(name) is None:
        return _MALFORMED
    return _MEANINGS.get(name.lower(), _PLAIN)


def render_head(head: HttpRequest, *, host: bytes | None) -> tuple[bytes, int]:
    """The head on the wire, and the length of the body that follows it.

    Args:
        head: The request; hop-by-hop fields and Expect in it are left out.
        host: Takes the place of the visitor's Host; None keeps it.

    Returns:
        Everything up to and with the empty line; bytes of body announced, or ``CHUNKED``.

    Raises:
        SessionError: ``bad_request``: it cannot be written as one request; ``protocol_error``: a whole body is not as
            long as its Content-Length says.
    """
    headers = _paired(head.headers)
    census = sum(map(_meaning, headers[::2]))
    length: int | None = None
    if host is not None or (census != _HOST and census != _HOST + _CONTENT_LENGTH):
        headers = _prepare(head, host)
        census = sum(map(_meaning, headers[::2]))
    if census != _HOST:
        length = _announced(headers)
    line = _request_line(head)
    framing, length = _framing(head, length)
    flat = iter(headers)
    block = b"%b%b\r\n%b\r\n" % (line, b"\r\n".join(map(b": ".join, zip(flat, flat, strict=True))), framing)
    lines = len(headers) // 2 + (3 if framing else 2)
    if block.count(b"\n") != lines or block.count(b"\r") != lines or b"\0" in block:
        raise SessionError(ErrorCode.BAD_REQUEST, "a header value holds a line break")
    return block, length


def render_trailers(headers: Headers) -> bytes:
    """The last chunk with trailer fields after it, without those that trailers must not hold.

    Raises:
        SessionError: ``bad_request``: a name or value is missing or cannot be written.
    """
    fields = without(strip_hop_by_hop(_paired(headers)), _NOT_IN_TRAILERS)
    if any(_TOKEN(name) is None for name in fields[::2]):
        raise SessionError(ErrorCode.BAD_REQUEST, "a trailer name is malformed")
    block = b"".join(b"%b: %b\r\n" % pair for pair in pairs(fields))
    lines = len(fields) // 2
    if block.count(b"\n") != lines or block.count(b"\r") != lines or b"\0" in block:
        raise SessionError(ErrorCode.BAD_REQUEST, "a trailer value holds a line break")
    return b"0\r\n%b\r\n" % block


def _paired(headers: Headers) -> Headers:
    if len(headers) % 2:
        raise SessionError(ErrorCode.BAD_REQUEST, "a header field has no value")
    return headers


def _request_line(head: HttpRequest) -> bytes:
    if head.query is None:
        line = b"%b %b HTTP/1.1\r\n" % (head.method.encode(), head.path or b"/")
    else:
        line = b"%b %b?%b HTTP/1.1\r\n" % (head.method.encode(), head.path or b"/", head.query)
    if _REQUEST_LINE(line) is None or head.method == "CONNECT":
        raise SessionError(ErrorCode.BAD_REQUEST, "the method or path cannot be forwarded")
    return line


def _prepare(head: HttpRequest, host: bytes | None) -> Headers:
    """The fields to write, with one Host and without those that are left out."""
    meanings = list(map(_meaning, head.headers[::2]))
    if meanings.count(_HOST) > 1 or _MALFORMED in meanings:
        raise SessionError(ErrorCode.BAD_REQUEST, "the request has several Hosts or a malformed header name")
    fields: list[bytes] = []
    if _HOST not in meanings:
        fields += (b"Host", head.host if host is None else host)
    for name, value in pairs(strip_hop_by_hop(head.headers)):
        meaning = _meaning(name)
        if meaning != _LEFT_OUT:
            fields += (name, value if host is None or meaning != _HOST else host)
    return tuple(fields)


def _announced(headers: Headers) -> int:
    names = list(map(bytes.lower, headers[::2]))
    value = headers[2 * names.index(b"content-length") + 1]
    if names.count(b"content-length") > 1 or _DIGITS(value) is None:
        raise SessionError(ErrorCode.BAD_REQUEST, "Content-Length is malformed or repeated")
    return int(value)


def _framing(head: HttpRequest, length: int | None) -> tuple[bytes, int]:
    """What to add to the head so that the body's end is known, and the length that this makes it."""
    if length is not None:
        if head.end and length != len(head.body):
            raise SessionError(ErrorCode.PROTOCOL_ERROR, "the request body is not as long as its Content-Length")
        return b"", length
    if not head.end:
        return b"Transfer-Encoding: chunked\r\n", CHUNKED
    if head.body or head.method in _EXPECT_BODY:
        return b"Content-Length: %d\r\n" % len(head.body), len(head.body)
    return b"", 0
