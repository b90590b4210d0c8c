"""From an ASGI scope to the head of a request."""

from __future__ import annotations

from enum import Enum
from itertools import chain
from typing import Final
from urllib.parse import quote

from tunnel.adapters.http.fields import strip_hop_by_hop, tokens, values, without
from tunnel.adapters.http.ingress_types import IngressSettings, Scope
from tunnel.domain.envelopes import Headers, HttpRequest
from tunnel.domain.errors import ErrorCode, SessionError

__all__ = ["HeadersTooLarge", "Unsupported", "Upload", "read_head"]

_AT_ONCE_BYTES: Final = 32 * 1024
"""A declared body up to this size is taken to follow its head directly, so that both make one envelope."""

_WITHOUT_BODY: Final = frozenset({"GET", "HEAD", "OPTIONS", "DELETE", "TRACE"})
"""Methods whose requests seldom have content. Over HTTP/2, where nothing need announce a body, they are asked."""

_PATH_SAFE: Final = "/~:@!$&'()*+,;=-._"
"""What RFC 3986 section 3.3 allows unquoted in a path."""

_MAX_LENGTH_DIGITS: Final = 19
"""Digits of the largest 63-bit number; what is longer announces no body that anybody has."""

_TELLING: Final = frozenset({b"content-length", b"transfer-encoding", b"expect", b"upgrade"})
"""Fields that tell of a body or of another protocol. Without them, an HTTP/1 request is all head."""

_FRAMED: Final = frozenset({"1.0", "1.1"})
"""Versions in which a body is announced by a field (RFC 9112 section 6.3)."""

_EXPECT: Final = frozenset({b"expect"})


class HeadersTooLarge(SessionError):
    """The request's head is over the limit: 431 rather than 413."""


class Unsupported(SessionError):
    """The request asks for a protocol, or comes in a transfer coding, that this version does not know: 501."""


class Upload(Enum):
    """How the request's body is to be had."""

    NONE = "none"
    """There is none."""
    SOON = "soon"
    """It directly follows the head, or may be absent; waiting for its first part delays nothing."""
    STREAMED = "streamed"
    """It may take its time, so the head goes ahead."""
    ON_DEMAND = "on_demand"
    """The visitor waits to be asked for it (RFC 9110 section 10.1.1)."""


def read_head(scope: Scope, settings: IngressSettings) -> tuple[HttpRequest, Upload]:
    """The head that is forwarded, without any body yet, and where its body is.

    Hop-by-hop fields and Expect are left out; X-Forwarded-* or Forwarded are set. ``end`` is set when there is no
    body. ``query`` is None for an empty query, which ASGI cannot tell from none.

    Raises:
        HeadersTooLarge: Too many fields, or too many bytes of them.
        Unsupported: The request would become a WebSocket, or has a transfer coding other than chunked.
        SessionError: ``too_large``: the declared body is over the limit. ``bad_request``: the fields that frame or
            address the request are missing, repeated or malformed.

    Source: RFC 9112 sections 3.2, 6.1 and 6.3.
    """
    fields = scope["headers"]
    if len(fields) > settings.max_headers:
        raise HeadersTooLarge(ErrorCode.TOO_LARGE, "too many header fields")
    headers: Headers = tuple(chain.from_iterable(fields))
    query: bytes = scope.get("query_string") or b""
    path = _raw_path(scope)
    if sum(map(len, headers)) + len(path) + len(query) > settings.max_header_bytes:
        raise HeadersTooLarge(ErrorCode.TOO_LARGE, "the header fields are too large")

    names = headers[::2]
    host = _host(scope, headers, names)
    upload = Upload.NONE
    if not _TELLING.isdisjoint(names) or scope.get("http_version", "1.1") not in _FRAMED:
        upload = _upload(scope, headers, settings.max_body_bytes)
        headers = without(headers, _EXPECT)
    client = scope.get("client")
    headers = settings.forwarder.forward(
        strip_hop_by_hop(headers), peer=client[0] if client else "", scheme=scope.get("scheme") or "http", host=host
    )
    return HttpRequest(scope["method"], path, query or None, host, headers, end=upload is Upload.NONE), upload


def _host(scope: Scope, headers: Headers, names: Headers) -> bytes:
    match names.count(b"host"):
        case 1:
            return headers[names.index(b"host") * 2 + 1]
        case 0:
            if scope.get("http_version", "1.1") == "1.1":
                raise SessionError(ErrorCode.BAD_REQUEST, "the Host header field is missing")
            return b""
        case _:
            raise SessionError(ErrorCode.BAD_REQUEST, "more than one Host header field")


def _upload(scope: Scope, headers: Headers, limit: int | None) -> Upload:
    version = scope.get("http_version", "1.1")
    if version == "1.1" and _asks_for_websocket(headers):
        raise Unsupported(ErrorCode.BAD_REQUEST, "WebSocket is not supported here")
    lengths = set(values(headers, b"content-length"))
    codings = values(headers, b"transfer-encoding")
    if not lengths:
        if not codings:
            if version in _FRAMED:
                return Upload.NONE
            if scope["method"] in _WITHOUT_BODY:
                return Upload.SOON
        elif version in _FRAMED and [coding.strip(b" \t").lower() for coding in codings] != [b"chunked"]:
            raise Unsupported(ErrorCode.BAD_REQUEST, "the only transfer coding supported here is chunked")
        upload = Upload.STREAMED
    elif len(lengths) > 1 or codings:
        raise SessionError(ErrorCode.BAD_REQUEST, "the length of the request body is ambiguous")
    else:
        upload = _declared_upload(lengths.pop(), limit)
    if upload is not Upload.NONE and b"expect" in headers[::2]:
        return Upload.ON_DEMAND
    return upload


def _asks_for_websocket(headers: Headers) -> bool:
    upgrades = tokens(values(headers, b"upgrade"))
    return b"websocket" in upgrades and b"upgrade" in tokens(values(headers, b"connection"))


def _declared_upload(length: bytes, limit: int | None) -> Upload:
    if not length.isdigit() or len(length) > _MAX_LENGTH_DIGITS:
        raise SessionError(ErrorCode.BAD_REQUEST, "Content-Length is not a number")
    size = int(length)
    if size == 0:
        return Upload.NONE
    if limit is not None and size > limit:
        raise SessionError(ErrorCode.TOO_LARGE, "the request body is too large")
    return Upload.SOON if size <= _AT_ONCE_BYTES else Upload.STREAMED


def _raw_path(scope: Scope) -> bytes:
    """The path as received. Servers that do not tell it give it decoded, and perhaps without their mount point."""
    raw: bytes | None = scope.get("raw_path")
    if raw is not None:
        return raw
    path: str = scope["path"]
    root: str = scope.get("root_path") or ""
    if not path.startswith(root):
        path = root + path
    return quote(path, safe=_PATH_SAFE).encode()
