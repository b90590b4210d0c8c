"""From what was parsed of a request to the head that is forwarded. The rules are the same under every server."""

from __future__ import annotations

from enum import Enum
from typing import Final

from msgspec.structs import replace

from tunnel.adapters.http.fields import strip_hop_by_hop, takes_trailers, tokens, values, without
from tunnel.adapters.http.ingress_census import (
    CODING,
    EXPECT,
    HOP,
    HOST,
    LENGTH,
    MAX_FIELDS,
    NAMED,
    TE,
    UPGRADE,
    census,
    tally,
)
from tunnel.adapters.http.ingress_target import RequestTarget
from tunnel.adapters.http.ingress_types import IngressSettings
from tunnel.adapters.http.websocket_handshake import check_asked, is_asked_for, passing
from tunnel.domain.envelopes import Headers, HttpRequest, HttpResponse
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.problem import problem

__all__ = [
    "EXPECT_FIELD",
    "HeadersTooLarge",
    "OtherVersion",
    "Unsupported",
    "Upload",
    "protocol_asked",
    "read_head",
    "refusal",
]

_AT_ONCE_BYTES: Final = 32 * 1024
"""A declared body up to this size is taken to follow its head directly, so that both make one envelope."""

_TRAILERS: Final = (b"te", b"trailers")
"""What is left of a TE that asks for trailers: this hop takes them, and says so to whoever comes behind it."""

_WITHOUT_BODY: Final = frozenset({"GET", "HEAD", "OPTIONS", "DELETE", "TRACE"})
"""Methods whose requests seldom have content. Over HTTP/2, where nothing need announce a body, they are asked."""

_MAX_LENGTH_DIGITS: Final = 19
"""Digits of the largest 63-bit number; what is longer announces no body that anybody has."""

_FRAMED: Final = frozenset({"1.0", "1.1"})
"""Versions in which a body is announced by a field (RFC 9112 section 6.3)."""

_NAMED_HOST: Final = HOST + NAMED

EXPECT_FIELD: Final = frozenset({b"expect"})


class HeadersTooLarge(SessionError):
    """The request's head is over the limit: 431 rather than 413."""


class Unsupported(SessionError):
    """The request asks for what this version does not know.

    Args:
        message: As of ``SessionError``; the code is ``bad_request``.
        status: HTTP status.
    """

    def __init__(self, message: str, *, status: int = 501) -> None:
        super().__init__(ErrorCode.BAD_REQUEST, message)
        self.status = status


class OtherVersion(SessionError):
    """The request asks for another version of WebSocket than 13 (RFC 6455 section 4.4)."""


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
    SWITCH = "switch"
    """There is none: what follows is WebSocket, if the answer agrees."""


_NO_UPLOAD: Final = Upload.NONE
_ON_DEMAND: Final = Upload.ON_DEMAND
_SWITCH: Final = Upload.SWITCH
"""Members of an enum are slow to look up, and these are in the way of requests."""


def refusal(error: SessionError, *, request_id: bytes = b"") -> HttpResponse:
    """The whole answer to a request whose head ``read_head`` refused.

    Args:
        error: What it raised.
        request_id: Name of the request; empty when it has none.
    """
    match error:
        case HeadersTooLarge():
            return problem(error, status=431, request_id=request_id)
        case OtherVersion():
            answer = problem(error, status=426, request_id=request_id)
            return replace(answer, headers=(*answer.headers, b"sec-websocket-version", b"13"))
        case Unsupported():
            return problem(error, status=error.status, request_id=request_id)
        case _:
            return problem(error, request_id=request_id)


def protocol_asked(headers: Headers) -> str:
    """The protocol of a conversation that begins with ``headers``, whatever else is wrong with them."""
    return "websocket" if is_asked_for(headers) else "http"


def read_head(
    target: RequestTarget,
    headers: Headers,
    *,
    method: str,
    version: str,
    scheme: str,
    peer: str,
    settings: IngressSettings,
) -> tuple[HttpRequest, Upload]:
    """The head that is forwarded, without any body yet, and where its body is.

    Hop-by-hop fields are left out, and Expect unless the body is on demand; X-Forwarded-* or Forwarded are set. The
    authority of a URL stands in place of Host. ``end`` is set when there is no body.

    Args:
        target: What is asked for.
        headers: Names in lower case.
        method: As received.
        version: Of HTTP: ``1.1``.
        scheme: ``http`` or ``https``, of the connection.
        peer: IP address of the visitor; empty when it has none.
        settings: Limits, and what is told of the visitor.

    Raises:
        HeadersTooLarge: Too many fields, or too many bytes of them.
        Unsupported: The request has a transfer coding other than chunked.
        OtherVersion: It would become a WebSocket of another version than 13.
        SessionError: ``too_large``: the declared body is over the limit. ``bad_request``: the fields that frame or
            address the request are missing, repeated or malformed.

    Source: RFC 9112 sections 3.2, 6.1 and 6.3.
    """
    names = headers[::2]
    if len(names) > settings.max_headers:  # before they are counted by kind
        raise HeadersTooLarge(ErrorCode.TOO_LARGE, "too many header fields")
    kinds = census(names)
    upload = _NO_UPLOAD
    host = headers[2 * names.index(b"host") + 1] if kinds & MAX_FIELDS else b""
    # Nearly always they are in order: one Host, perhaps a name, and the rest is for both ends.
    if (kinds != _NAMED_HOST and kinds != HOST) or version not in _FRAMED:
        _check_host(kinds, version)
        upload = _upload(headers, kinds, method=method, version=version, limit=settings.max_body_bytes)
        if tally(kinds, HOP):
            trailers = _TRAILERS if kinds >= TE and takes_trailers(headers) else ()
            headers = strip_hop_by_hop(headers) + trailers
        if upload is not _ON_DEMAND and tally(kinds, EXPECT):
            headers = without(headers, EXPECT_FIELD)
    if target.authority is not None:
        host = target.authority
        headers = _with_host(headers, host)
    headers = settings.forwarder.forward(headers, peer=peer, scheme=scheme, host=host)
    # With what was added, since whoever is behind us has limits too.
    if len(headers) > 2 * settings.max_headers:
        raise HeadersTooLarge(ErrorCode.TOO_LARGE, "too many header fields")
    target_bytes = len(target.url) or len(target.path) + len(target.query or b"")
    if sum(map(len, headers)) + target_bytes > settings.max_header_bytes:
        raise HeadersTooLarge(ErrorCode.TOO_LARGE, "the header fields are too large")
    end = upload is _NO_UPLOAD
    head = HttpRequest(method, target.path, target.query, host, headers, b"", end, "http", target.url)
    return (head if upload is not _SWITCH else passing(head)), upload


def _check_host(kinds: int, version: str) -> None:
    hosts = tally(kinds, HOST)
    if hosts > 1:
        raise SessionError(ErrorCode.BAD_REQUEST, "more than one Host header field")
    if not hosts and version == "1.1":
        raise SessionError(ErrorCode.BAD_REQUEST, "the Host header field is missing")


def _with_host(headers: Headers, host: bytes) -> Headers:
    """``headers`` with ``host`` as the value of Host, if they have one."""
    changed = list(headers)
    for position in range(0, len(headers), 2):
        if headers[position] == b"host":
            changed[position + 1] = host
    return tuple(changed)


def _upload(headers: Headers, kinds: int, *, method: str, version: str, limit: int | None) -> Upload:
    if version == "1.1" and tally(kinds, UPGRADE) and is_asked_for(headers):
        if not check_asked(method, headers):
            raise OtherVersion(ErrorCode.BAD_REQUEST, "the only version of WebSocket spoken here is 13")
        return _SWITCH
    lengths = set(values(headers, b"content-length")) if tally(kinds, LENGTH) else ()
    coded = tally(kinds, CODING) > 0
    if coded and version == "1.0":
        # RFC 9112 section 6.1: somebody before us may have framed it otherwise.
        raise SessionError(ErrorCode.BAD_REQUEST, "HTTP/1.0 has no transfer codings")
    if not lengths:
        if not coded:
            if version in _FRAMED:
                return Upload.NONE
            if method in _WITHOUT_BODY:
                return Upload.SOON
        elif version == "1.1" and _codings(headers) != [b"chunked"]:
            raise Unsupported("the only transfer coding supported here is chunked")
        upload = Upload.STREAMED
    elif len(lengths) > 1 or coded:
        raise SessionError(ErrorCode.BAD_REQUEST, "the length of the request body is ambiguous")
    else:
        upload = _declared_upload(next(iter(lengths)), limit)
    # What HTTP/1.0 expects is to be ignored (RFC 9110 section 10.1.1).
    if upload is not Upload.NONE and version != "1.0" and tally(kinds, EXPECT) and _expects_continue(headers):
        return Upload.ON_DEMAND
    return upload


def _expects_continue(headers: Headers) -> bool:
    """Whether the only expectation that there is, is among those of ``headers``; others are disregarded."""
    return b"100-continue" in tokens(values(headers, b"expect"))


def _codings(headers: Headers) -> list[bytes]:
    return [coding.strip(b" \t").lower() for coding in values(headers, b"transfer-encoding")]


def _declared_upload(length: bytes, limit: int | None) -> Upload:
    if not length.isdigit() or len(length) > _MAX_LENGTH_DIGITS:
        raise SessionError(ErrorCode.BAD_REQUEST, "Content-Length is not a number")
    size = int(length)
    if size == 0:
        return Upload.NONE
    if limit is not None and size > limit:
        raise SessionError(ErrorCode.TOO_LARGE, "the request body is too large")
    return Upload.SOON if size <= _AT_ONCE_BYTES else Upload.STREAMED
