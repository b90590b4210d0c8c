"""What of a target's answer reaches the visitor. The rules are the same under every server."""

from __future__ import annotations

from enum import Enum
from typing import Final

from tunnel.adapters.http.fields import strip_hop_by_hop, trailer_fields, without
from tunnel.adapters.http.ingress_census import HOP, LENGTH, MALFORMED, NAMED, TRAILER, census, tally
from tunnel.domain.envelopes import BodyChunk, Headers, HttpResponse, SessionPayload, Trailers
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.request_ids import REQUEST_ID

__all__ = ["Framing", "ResponseRules", "checked_acceptance"]

_NAME: Final = frozenset({REQUEST_ID})
_CONTENT_LENGTH: Final = frozenset({b"content-length"})

_MAX_LENGTH_DIGITS: Final = 19
"""Digits of the largest 63-bit number."""

_CONTROL_BYTES: Final = bytes(range(9)) + bytes(range(10, 32)) + b"\x7f"
"""What a field value never holds (RFC 9110 section 5.5): a line end in one would forge a response."""


class Framing(Enum):
    """How the end of a response body is told."""

    NONE = "none"
    """There is no body, whatever the head says."""
    LENGTH = "length"
    """The head declares it."""
    OPEN = "open"
    """Nothing in the head tells: chunks do, or the end of the connection."""


_NONE: Final = Framing.NONE
_LENGTH: Final = Framing.LENGTH
"""Members of an enum are slow to look up, and these are in the way of every answer."""


class ResponseRules:
    """Checks one answer, envelope by envelope, so that it is framed right or seen to be cut short.

    A response to HEAD, and one with status 204 or 304, has no body, whatever the target sends; 204 and 304 lose
    Content-Length. A whole response without Content-Length gets one. A repeated or malformed Content-Length is an error
    even where there is no body: whoever is behind us might see a body there. Bytes beyond or short of a declared length
    are an error and never reach the visitor as a whole response. Informational responses are dropped.

    Args:
        method: Of the request.
        request_id: Name of the request, which the head tells instead of any other; empty: it is left as it is.
    """

    __slots__ = ("_left", "_method", "_request_id", "announced", "ended", "framing", "started")

    def __init__(self, method: str, request_id: bytes = b"") -> None:
        self._method = method
        self._request_id = request_id
        self._left = 0  # bytes of body still to come, where the head declared them
        self.framing = Framing.OPEN
        """Once the head is known."""
        self.announced = False
        """The head announces trailers."""
        self.started = False
        """The head has been handed on, as far as whoever writes it has said so."""
        self.ended = False
        """So has the end."""

    def admit(self, payload: SessionPayload) -> bool:
        """Whether ``payload`` is to be written now; an informational response is not.

        Raises:
            SessionError: ``protocol_error``: it does not belong here.
        """
        if self.ended:
            raise _wrong("an envelope after the end of the response")
        if type(payload) is HttpResponse:
            if self.started or payload.more:
                raise _wrong("a second head, or a part of one")
            return not (100 <= payload.status < 200 and payload.status != 101 and not payload.end)
        if not self.started:
            raise _wrong("a response that does not begin with its head")
        if type(payload) is BodyChunk or (type(payload) is Trailers and not payload.more):
            return True
        raise _wrong(f"{type(payload).__name__} in an HTTP response")

    def head(self, head: HttpResponse) -> tuple[Headers, bytes]:
        """The fields to write, and the first part of the body.

        Raises:
            SessionError: ``protocol_error``: a response like that cannot be written.
        """
        status = head.status
        if not 200 <= status <= 599:
            raise _wrong(f"status {status}")
        headers, kinds = _checked(head.headers)
        if self._request_id:
            if kinds >= NAMED and tally(kinds, NAMED):
                headers = without(headers, _NAME)
            headers += (REQUEST_ID, self._request_id)
        lengths = tally(kinds, LENGTH)
        length = _length(headers, lengths) if lengths else None
        self.announced = kinds >= TRAILER and tally(kinds, TRAILER) > 0
        if self._method == "HEAD" or status == 204 or status == 304:
            self.framing = _NONE
            return (headers if status != 204 and status != 304 else without(headers, _CONTENT_LENGTH)), b""
        body = head.body
        if length is not None:
            self.framing = _LENGTH
            self._left = length
            self._count(len(body), end=head.end)
        elif head.end:
            self.framing = _LENGTH
            headers += (b"content-length", b"%d" % len(body))
        return headers, body

    def body(self, chunk: BodyChunk) -> bytes:
        """What of the next piece of the body is to be written.

        Raises:
            SessionError: ``protocol_error``: the body is not as long as its Content-Length.
        """
        if self.framing is _NONE:
            return b""
        if self.framing is _LENGTH:
            self._count(len(chunk.data), end=chunk.end)
        return chunk.data

    def trailers(self, trailers: Trailers) -> Headers:
        """The fields to write after the body, where there is room for them: those that may stand there.

        Raises:
            SessionError: ``protocol_error``: a field is malformed, or the body is shorter than its Content-Length.
        """
        if self.framing is _LENGTH:
            self._count(0, end=True)
        headers, _ = _checked(trailers.headers)
        return trailer_fields(headers)

    def _count(self, size: int, *, end: bool) -> None:
        self._left -= size
        if self._left < 0 or (end and self._left):
            raise _wrong("a body that is not as long as its Content-Length")


def checked_acceptance(received: Headers, request_id: bytes) -> Headers:
    """Fields of the answer that makes a connection a WebSocket, without those that concern one connection only.

    Args:
        received: As the target gave them.
        request_id: Name of the request, which is told; empty when it has none.

    Raises:
        SessionError: ``protocol_error``: a field is malformed.
    """
    headers, _ = _checked(received)
    return (*without(headers, _NAME), REQUEST_ID, request_id) if request_id else headers


def _checked(received: Headers) -> tuple[Headers, int]:
    """What of ``received`` is to be written, and its census."""
    if len(received) % 2:
        raise _wrong("a header field without a value")
    headers = received
    kinds = census(headers[::2])
    if kinds >= HOP:
        if tally(kinds, MALFORMED):
            raise _wrong("a malformed header field name")
        if tally(kinds, HOP):
            headers = strip_hop_by_hop(headers)
    values = b"".join(headers[1::2])
    if len(values.translate(None, _CONTROL_BYTES)) != len(values):
        raise _wrong("a malformed header field value")
    return headers, kinds


def _length(headers: Headers, count: int) -> int:
    if count > 1:
        raise _wrong("more than one Content-Length")
    value = next(headers[at + 1] for at in range(0, len(headers), 2) if headers[at].lower() == b"content-length")
    if not value.isdigit() or len(value) > _MAX_LENGTH_DIGITS:
        raise _wrong("a malformed Content-Length")
    return int(value)


def _wrong(what: str) -> SessionError:
    return SessionError(ErrorCode.PROTOCOL_ERROR, "the upstream's answer is malformed", detail=what)
