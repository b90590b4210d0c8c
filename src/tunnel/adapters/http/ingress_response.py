"""From response envelopes to ASGI messages."""

from __future__ import annotations

from typing import Final

from tunnel.adapters.http.fields import strip_hop_by_hop, without
from tunnel.adapters.http.ingress_types import RESPOND, AsgiSend, Respond, Scope
from tunnel.domain.envelopes import BodyChunk, Headers, HttpResponse, SessionPayload, Trailers
from tunnel.domain.errors import ErrorCode, SessionError

__all__ = ["ResponseWriter"]

_CONTENT_LENGTH: Final = frozenset({b"content-length"})
_TRAILERS: Final = "http.response.trailers"

_TOKEN_BYTES: Final = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
"""What a field name consists of (RFC 9110 section 5.6.2)."""

_CONTROL_BYTES: Final = bytes(range(9)) + bytes(range(10, 32)) + b"\x7f"
"""What a field value never holds (RFC 9110 section 5.5): a line end in one would forge a response."""


class ResponseWriter:
    """Writes one response, so that it is framed right or seen to be cut short.

    A response to HEAD, and one with status 204 or 304, has no body, whatever the target sends; 204 and 304 lose
    Content-Length. A whole response without Content-Length gets one. A repeated or malformed Content-Length is an error
    even where there is no body: whoever is behind us might see a body there. Bytes beyond or short of a declared length
    are an error and never reach the visitor as a whole response. Trailers reach the visitor if the server offers the
    ``http.response.trailers`` extension and the head announced them with a Trailer field; else they are dropped.

    Args:
        scope: Of the request.
        send: The ASGI server's.
    """

    __slots__ = ("_announced", "_left", "_no_body", "_respond", "_scope", "_send", "ended", "started")

    def __init__(self, scope: Scope, send: AsgiSend) -> None:
        self._scope = scope
        self._send = send
        self._respond: Respond | None = (scope.get("extensions") or {}).get(RESPOND)
        self._no_body = False
        self._announced = False
        self._left: int | None = None  # bytes of body still to come, where the head declared them
        self.started = False
        """The server has taken the head."""
        self.ended = False
        """The server has been given the last message."""

    async def write(self, payload: SessionPayload) -> None:
        """Hand ``payload`` to the server; waits while the visitor is not ready for more.

        Raises:
            SessionError: ``protocol_error``: not what belongs here. ``cancelled``: the visitor has gone.
        """
        if self.ended:
            raise _wrong("an envelope after the end of the response")
        try:
            if type(payload) is HttpResponse:
                await self._write_head(payload)
            elif not self.started:
                raise _wrong("a response that does not begin with its head")
            elif type(payload) is BodyChunk:
                await self._write_body(payload.data, end=payload.end)
            elif type(payload) is Trailers and not payload.more:
                await self._write_trailers(payload)
            else:
                raise _wrong(f"{type(payload).__name__} in an HTTP response")
        except OSError as exc:  # since ASGI 2.4, from servers that tell a sender so
            raise SessionError(ErrorCode.CANCELLED, "the visitor left") from exc

    async def _write_head(self, head: HttpResponse) -> None:
        status = head.status
        if self.started or head.more:
            raise _wrong("a second head, or a part of one")
        if not 200 <= status <= 599:
            raise _wrong(f"status {status}")
        headers = _checked(head.headers)
        names = list(map(bytes.lower, headers[::2]))
        length = _length(headers, names) if b"content-length" in names else None
        body = head.body
        self._no_body = self._scope["method"] == "HEAD" or status == 204 or status == 304
        if self._no_body:
            body = b""
            if status == 204 or status == 304:
                headers = without(headers, _CONTENT_LENGTH)
        elif length is not None:
            self._left = length
            self._count(len(body), end=head.end)
        elif head.end:
            headers += (b"content-length", b"%d" % len(body))
        if head.end and self._respond is not None and self._respond(status, headers, body):
            self.started = self.ended = True
            return
        flat = iter(headers)
        start = {"type": "http.response.start", "status": status, "headers": list(zip(flat, flat, strict=True))}
        if b"trailer" in names and _TRAILERS in (self._scope.get("extensions") or ()):
            self._announced = start["trailers"] = True
        await self._send(start)
        self.started = True
        if body or head.end:
            await self._send_body(body, end=head.end)

    async def _write_body(self, data: bytes, *, end: bool) -> None:
        if self._no_body:
            data = b""
        self._count(len(data), end=end)
        if data or end:
            await self._send_body(data, end=end)

    async def _write_trailers(self, trailers: Trailers) -> None:
        if not self._announced:
            await self._write_body(b"", end=True)
            return
        self._count(0, end=True)
        flat = iter(_checked(trailers.headers))
        self.ended = True
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        await self._send({"type": _TRAILERS, "headers": list(zip(flat, flat, strict=True)), "more_trailers": False})

    async def _send_body(self, data: bytes, *, end: bool) -> None:
        self.ended = end  # before sending: servers tell a disconnect once they have the last message
        await self._send({"type": "http.response.body", "body": data, "more_body": not end})
        if end and self._announced:
            await self._send({"type": _TRAILERS, "headers": [], "more_trailers": False})

    def _count(self, size: int, *, end: bool) -> None:
        if self._left is None:
            return
        self._left -= size
        if self._left < 0 or (end and self._left):
            raise _wrong("a body that is not as long as its Content-Length")


def _checked(received: Headers) -> Headers:
    """What of ``received`` is to be written."""
    if len(received) % 2:
        raise _wrong("a header field without a value")
    headers = strip_hop_by_hop(received)
    if b"".join(headers[::2]).translate(None, _TOKEN_BYTES) or b"" in headers[::2]:
        raise _wrong("a malformed header field name")
    values = b"".join(headers[1::2])
    if len(values.translate(None, _CONTROL_BYTES)) != len(values):
        raise _wrong("a malformed header field value")
    return headers


def _length(headers: Headers, names: list[bytes]) -> int:
    value = headers[names.index(b"content-length") * 2 + 1]
    if names.count(b"content-length") > 1:
        raise _wrong("more than one Content-Length")
    if not value.isdigit() or len(value) > 19:
        raise _wrong("a malformed Content-Length")
    return int(value)


def _wrong(what: str) -> SessionError:
    return SessionError(ErrorCode.PROTOCOL_ERROR, "the upstream's answer is malformed", detail=what)
