"""Requests as they are written to an upstream: head, and framing of the body.

Framing is decided here, whatever the visitor used: a whole body gets its Content-Length, a streamed one keeps the
Content-Length it was announced with and is held to it, and without one it is chunked (RFC 9112 section 6).

What arrives here came through a peer, not only through our own parser, so it is checked before it is written:
nothing in it can add a header line or a request of its own (RFC 9112 section 11.1).

Field names repeat from request to request, values do not. So names are judged once, and the judgement is kept as a
plan: the head with places for the values.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import msgspec

from tunnel.adapters.http.fields import pairs, strip_hop_by_hop, takes_trailers, values, without
from tunnel.domain.envelopes import Headers, HttpRequest
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.expectation import awaits_permission

__all__ = ["CHUNKED", "HeadRenderer", "without_expectation"]

CHUNKED: Final = -1
"""Stands in place of a length for a body in chunks."""

_EXPECT_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
"""Methods that say so when their body is empty (RFC 9110 section 8.6)."""

_METHODS: Final = {
    method.decode(): method for method in (b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS")
}
_NOT_IN_TARGETS: Final = bytes((*range(0x21), 0x7F))
"""Blanks and control characters."""

_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_DIGITS: Final = re.compile(rb"[0-9]{1,18}").fullmatch

_LEFT_OUT: Final = frozenset(
    {
        b"expect",
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"te",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""Hop-by-hop fields, and Expect: what it asks for was settled by whoever read the body."""

_EXPECT: Final = frozenset({b"expect"})

_TAKES_TRAILERS: Final = (b"Connection", b"TE", b"TE", b"trailers")
"""RFC 9110 section 10.1.4 wants TE to be named by Connection."""

_NOT_KEPT: Final = frozenset({b"connection", b"expect", b"te"})
"""Names of no plan that is kept: whether they are written does not depend on names alone."""

_MAX_PLANS: Final = 512
_MAX_PLAN_BYTES: Final = 2048
"""Visitors choose field names, so plans are limited in number and size: a megabyte or two in all."""


class _Plan(NamedTuple):
    """How a head with certain field names is written.

    ``template`` has places for method, target, each value, and the field that frames the body. ``host_at`` and
    ``length_at`` are positions among the values, -1 for none.
    """

    template: bytes
    host_at: int
    length_at: int


class HeadRenderer:
    """Writes the heads of requests to one upstream.

    Args:
        host: Takes the place of the visitor's Host; None keeps it.
    """

    __slots__ = ("_host", "_plans")

    def __init__(self, *, host: bytes | None) -> None:
        self._host = host
        self._plans: dict[Headers, _Plan] = {}

    def render(self, head: HttpRequest) -> tuple[bytes, int]:
        """The head on the wire, and the length of the body that follows it.

        Hop-by-hop fields are left out, but for what asks for trailers, and Expect is unless the body awaits permission.

        Returns:
            Everything up to and with the empty line; bytes of body announced, or ``CHUNKED``.

        Raises:
            SessionError: ``bad_request``: it cannot be written as one request; ``protocol_error``: a whole body is not
                as long as its Content-Length says, or what there is of another is longer.
        """
        headers = head.headers
        if len(headers) & 1:
            raise SessionError(ErrorCode.BAD_REQUEST, "a header field has no value")
        plan = self._plans.get(headers[::2])
        if plan is None:
            headers = self._prepare(head)
            plan = self._plan(headers[::2])
        filling = headers[1::2]
        if self._host is not None:
            filling = (*filling[: plan.host_at], self._host, *filling[plan.host_at + 1 :])
        text = b"".join(filling)
        if b"\n" in text or b"\r" in text or b"\0" in text:
            raise SessionError(ErrorCode.BAD_REQUEST, "a header value holds a line break")
        framing, length = _framing(head, None if plan.length_at < 0 else filling[plan.length_at])
        method = _METHODS.get(head.method) or _method(head.method)
        return plan.template % (method, _target(head), *filling, framing), length

    def _prepare(self, head: HttpRequest) -> Headers:
        """The fields to write, with a Host and without those that are left out."""
        fields: list[bytes] = []
        if not values(head.headers, b"host"):
            fields += (b"Host", head.host)
        permission = awaits_permission(head)
        for name, value in pairs(strip_hop_by_hop(head.headers)):
            lower = name.lower()
            if lower not in _LEFT_OUT:
                fields += (name, value)
            elif lower == b"expect" and permission:
                fields += (name, b"100-continue")
                permission = False
        if takes_trailers(head.headers):
            fields += _TAKES_TRAILERS
        return tuple(fields)

    def _plan(self, names: Headers) -> _Plan:
        """The plan for ``names``, which hold a Host and nothing that is left out, kept if it is small.

        Names that ask for permission, or for trailers, are not kept: whether they are written depends on more.
        """
        plan = self._plans.get(names)
        if plan is not None:
            return plan
        plan = _judge(names)
        if len(plan.template) <= _MAX_PLAN_BYTES and _NOT_KEPT.isdisjoint(map(bytes.lower, names)):
            if len(self._plans) >= _MAX_PLANS:
                self._plans.clear()
            self._plans[names] = plan
        return plan


def without_expectation(head: HttpRequest) -> HttpRequest:
    """``head`` with a body that does not wait to be asked for (RFC 9110 section 10.1.1)."""
    return msgspec.structs.replace(head, headers=without(head.headers, _EXPECT))


def _judge(names: Headers) -> _Plan:
    lower = [name.lower() for name in names]
    if lower.count(b"host") != 1 or not all(map(_TOKEN, names)):
        raise SessionError(ErrorCode.BAD_REQUEST, "the request has several Hosts or a malformed header name")
    if lower.count(b"content-length") > 1:
        raise SessionError(ErrorCode.BAD_REQUEST, "Content-Length is repeated")
    fields = b"".join(b"%b: %%b\r\n" % name.replace(b"%", b"%%") for name in names)
    return _Plan(
        template=b"%%b %%b HTTP/1.1\r\n%b%%b\r\n" % fields,
        host_at=lower.index(b"host"),
        length_at=lower.index(b"content-length") if b"content-length" in lower else -1,
    )


def _method(method: str) -> bytes:
    encoded = method.encode()
    if _TOKEN(encoded) is None or method == "CONNECT":
        raise SessionError(ErrorCode.BAD_REQUEST, "the method cannot be forwarded")
    return encoded


def _target(head: HttpRequest) -> bytes:
    target = head.path or b"/"
    if head.query is not None:
        target = b"%b?%b" % (target, head.query)
    if len(target.translate(None, _NOT_IN_TARGETS)) != len(target):
        raise SessionError(ErrorCode.BAD_REQUEST, "the path or query cannot be forwarded")
    return target


def _framing(head: HttpRequest, announced: bytes | None) -> tuple[bytes, int]:
    """What to add to the head so that the body's end is known, and the length that this makes it."""
    if announced is None:
        if not head.end:
            return b"Transfer-Encoding: chunked\r\n", CHUNKED
        if head.body or head.method in _EXPECT_BODY:
            return b"Content-Length: %d\r\n" % len(head.body), len(head.body)
        return b"", 0
    if _DIGITS(announced) is None:
        raise SessionError(ErrorCode.BAD_REQUEST, "Content-Length is malformed")
    length = int(announced)
    if length < len(head.body) or (head.end and length != len(head.body)):
        raise SessionError(ErrorCode.PROTOCOL_ERROR, "the request body is not as long as its Content-Length")
    return b"", length
