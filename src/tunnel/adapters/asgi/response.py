"""A response, from the messages an application sends to the envelopes it travels in.

Source: ASGI HTTP & WebSocket 2.5, response start, body and trailers; RFC 9110 sections 6.4, 6.6.1 and 8.6.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from email.utils import formatdate
from enum import Enum
from functools import lru_cache
from typing import Any, Final

from tunnel.adapters.asgi.types import Message
from tunnel.domain.envelopes import BodyChunk, Headers, HttpResponse, Trailers

__all__ = ["ResponseMaker", "ResponseState", "checked_fields"]

_TOKENS: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_CONTROL_BYTES: Final = bytes(range(9)) + bytes(range(10, 32)) + b"\x7f"
"""What a field value never holds (RFC 9110 section 5.5): a line end in one would forge a response."""

_BODILESS: Final = frozenset({204, 304})


class ResponseState(Enum):
    """How far a response got."""

    AWAITED = "awaited"
    HELD = "held"
    """The head is here. It goes with the first of the body: a small response is one envelope."""
    BODY = "body"
    TRAILERS = "trailers"
    """The body is complete, and trailers were announced."""
    COMPLETE = "complete"


class ResponseMaker:
    """Takes messages, gives envelopes, and holds an application to what it announced.

    An answer to HEAD, and one of status 204 or 304, loses its body. A response without Date gets one: what answers
    here is an origin server, and there is none between it and the visitor.

    Args:
        method: Of the request.
    """

    __slots__ = ("_bodiless", "_fields", "_head", "_left_bytes", "_method", "_trailing", "state")

    def __init__(self, method: str) -> None:
        self._method = method
        self._head = HttpResponse(500)
        self._bodiless = False
        self._left_bytes: int | None = None
        self._trailing = False
        self._fields: Headers = ()
        self.state = ResponseState.AWAITED

    @property
    def started(self) -> bool:
        """Whether any of it was handed out."""
        return self.state not in (ResponseState.AWAITED, ResponseState.HELD)

    @property
    def complete(self) -> bool:
        """Whether all of it was."""
        return self.state is ResponseState.COMPLETE

    def start(self, message: Message) -> None:
        """Take the head.

        Raises:
            RuntimeError: It cannot be sent.
        """
        status = message["status"]
        if not isinstance(status, int) or not 200 <= status <= 599:
            raise RuntimeError(f"status {status!r} is not that of a response")
        headers = checked_fields(message.get("headers", ()))
        names = headers[::2]
        self._bodiless = self._method == "HEAD" or status in _BODILESS
        if b"content-length" in names:
            self._left_bytes = _length(headers)
        if b"date" not in names:
            headers += (b"date", _date(int(time.time())))
        self._trailing = bool(message.get("trailers", False))
        self._head = HttpResponse(int(status), headers)
        self.state = ResponseState.HELD

    def body(self, message: Message) -> HttpResponse | BodyChunk | None:
        """Take a part of the body; what is to be sent now, None for nothing.

        Raises:
            RuntimeError: The body is not as long as its Content-Length.
        """
        data, more = bytes(message.get("body", b"")), bool(message.get("more_body", False))
        if self._bodiless:
            data = b""
        elif self._left_bytes is not None:
            self._count(len(data), more=more)
        end = not more and not self._trailing
        held = self.state is ResponseState.HELD
        if more:
            self.state = ResponseState.BODY
        else:
            self.state = ResponseState.COMPLETE if end else ResponseState.TRAILERS
        if held:
            return HttpResponse(self._head.status, self._head.headers, data, end)
        return BodyChunk(data, end) if data or end else None

    def trailers(self, message: Message) -> Trailers | None:
        """Take trailer fields; what is to be sent now, None while more are to come.

        Raises:
            RuntimeError: A field cannot be sent.
        """
        self._fields += checked_fields(message.get("headers", ()))
        if message.get("more_trailers", False):
            return None
        self.state = ResponseState.COMPLETE
        return Trailers(self._fields)

    def _count(self, size_bytes: int, *, more: bool) -> None:
        assert self._left_bytes is not None
        left_bytes = self._left_bytes - size_bytes
        if left_bytes < 0:
            raise RuntimeError("the response body is longer than its Content-Length")
        if left_bytes and not more:
            raise RuntimeError("the response body is shorter than its Content-Length")
        self._left_bytes = left_bytes


def checked_fields(fields: Iterable[Iterable[Any]]) -> Headers:
    """Header fields as they travel, names in lower case.

    Raises:
        RuntimeError: A name is no token, or a value holds a control character.
    """
    flat: list[bytes] = []
    for name, value in fields:
        flat += (bytes(name).lower(), bytes(value).strip(b" \t"))
    if not all(map(_TOKENS, flat[::2])):
        raise RuntimeError("a header field name is malformed")
    values = b"".join(flat[1::2])
    if len(values.translate(None, _CONTROL_BYTES)) != len(values):
        raise RuntimeError("a header field value holds a control character")
    return tuple(flat)


def _length(headers: Headers) -> int:
    lengths = {value for name, value in zip(headers[::2], headers[1::2], strict=True) if name == b"content-length"}
    if len(lengths) > 1 or not (length := lengths.pop()).isdigit():
        raise RuntimeError("Content-Length is malformed")
    return int(length)


@lru_cache(1)
def _date(now_s: int) -> bytes:
    return formatdate(now_s, usegmt=True).encode()
