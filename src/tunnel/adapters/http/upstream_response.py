"""One response after another, as it comes in: bytes to head, body and trailers. Does no I/O.

What the parser leaves to its user is decided here:

1. Responses to HEAD, and 204 and 304, have no body whatever their fields say (RFC 9112 section 6.3). The parser knows
   nothing of HEAD, so it is dropped after one and another is made.
2. A body without Content-Length and chunks ends with the connection; the parser is never told of that.
3. Fields arrive through one callback, before the body as headers and after it as trailers; they are kept apart.
4. The parser has no limits. What arrives without a byte of body in it, informational responses, head, chunk headers
   and trailers, counts towards one, so that nothing grows without bound.
5. What is left of a long body of known length is counted, not parsed: the parser would copy it. It is dropped then, as
   it does not know that the response is over.
6. A connection whose upstream does not keep to the rules may have more to say than its response, at any time later: it
   is not used again. So it is after a 204 that announces a body (RFC 9112 section 6.1, RFC 9110 section 8.6), after
   chunks in HTTP/1.0, and after a status line of HTTP/2.0.
7. What all others are known to read in the same way is read so: that status line, blanks after a chunk's size, and an
   informational response that says close.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from tunnel.adapters.http.fields import strip_hop_by_hop, values, without
from tunnel.adapters.http.upstream_fields import (
    announces_body,
    ends_with_connection,
    has_unknown_coding,
    idle_limit_s,
    passed_on,
    says_close,
)
from tunnel.domain.envelopes import Headers
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.limits import KIB

__all__ = ["ResponseReader"]

_CONTENT_LENGTH: Final = frozenset({b"content-length"})
_TOO_LARGE: Final = "the upstream's header is too large"

_MAX_LENGTH_DIGITS: Final = 19
"""Digits of the largest 63-bit number. The parser takes any number of zeros before one, which Python would not read."""

_START: Final = b"HTTP/1."
"""Of every response (RFC 9112 section 4). The parser would take other versions, and other protocols, too."""

_START_OF_2: Final = b"HTTP/2."
"""What some write who speak HTTP/1.1 all the same."""

_END_OF_HEAD: Final = b"\r\n\r\n"

_LONG_BYTES: Final = 64 * KIB
"""Of a body that is still to come; with less, another parser would cost as much as it saves."""


class ResponseReader:
    """Reads the responses of one connection.

    ``begin`` for each exchange, then ``feed`` what arrives and ``finish`` when nothing more will.

    Args:
        max_header_bytes: Largest head, and largest trailers.
        max_headers: Most fields of either.

    Attributes:
        status: 0 until the head of the final response is complete.
        headers: Of the response, without hop-by-hop fields.
        trailers: Complete with ``complete``.
        size_bytes: Of the body received and not yet taken.
        complete: All of the response has arrived.
        reusable: The connection may carry another exchange; meaningful once complete.
        heard_bytes: Of the answer so far, as received.
        permitted: The upstream asked for the body of the request.
        idle_limit_s: How long an idle connection may be used, as far as the upstream has said.
        http10: The upstream speaks HTTP/1.0; known with ``complete``, when the connection is not ``reusable``.
    """

    __slots__ = (
        "_bodyless",
        "_faulty",
        "_feed",
        "_fields",
        "_head_request",
        "_held",
        "_informational",
        "_left_bytes",
        "_max_fields",
        "_max_header_bytes",
        "_other_bytes",
        "_parser",
        "_parts",
        "_problem",
        "_received",
        "_started",
        "complete",
        "headers",
        "heard_bytes",
        "http10",
        "idle_limit_s",
        "permitted",
        "reusable",
        "size_bytes",
        "status",
        "trailers",
    )

    def __init__(self, *, max_header_bytes: int, max_headers: int) -> None:
        self._max_header_bytes = max_header_bytes
        self._max_fields = 2 * max_headers
        self._parser: HttpResponseParser | None = None
        self._feed: Callable[[bytes], None]
        self._bodyless = False
        self._informational = False
        self._held = b""
        self._fields: list[bytes] = []
        self._received: Headers = ()
        self._problem = ""
        self.headers: Headers = ()
        self._parts: list[bytes] = []
        self.size_bytes = 0
        self.idle_limit_s = inf
        self.http10 = False
        self.begin(head_request=False)

    def begin(self, *, head_request: bool) -> None:
        """Start on the next response; all of the one before was taken. ``head_request``: this one answers HEAD."""
        assert not self._parts, "what is left of one response would begin the next"
        self._head_request = head_request
        self._started = False
        self._faulty = False
        self._other_bytes = 0
        self._left_bytes: int | None = None
        self.status = 0
        self.trailers: Headers = ()
        self.complete = False
        self.reusable = False
        self.heard_bytes = 0
        self.permitted = False

    def feed(self, data: bytes) -> None:
        """Take in what arrived.

        Raises:
            SessionError: ``upstream_unreachable``: this is no response that can be forwarded.
        """
        if self.complete:
            self.reusable = False  # nobody takes it any more, so the parser must not keep it either
            return
        before_bytes = self.size_bytes
        self.heard_bytes += len(data)
        if self._left_bytes:
            self._count(data, self._left_bytes)
            return
        self._other_bytes += len(data)
        if not self._started:
            data = self._start(data)
            if not data:
                return
        if self._parser is None:
            self._parser = HttpResponseParser(self)
            self._parser.set_dangerous_leniencies(lenient_keep_alive=True, lenient_spaces_after_chunk_size=True)
            self._feed = self._parser.feed_data
        try:
            self._feed(data)
        except HttpParserUpgrade as upgrade:
            self._switched(data[upgrade.args[0] :])
        except HttpParserError as exc:
            self._fail_unless_complete(exc)
        if self._problem:
            self.complete = False  # whatever the parser has found behind it
            raise _malformed(self._problem)
        if self.complete:
            if self._bodyless:
                if not _END_OF_HEAD.endswith(data[-4:]):
                    self.reusable = False  # the body that it should not have, of which the parser may say nothing yet
                self._forget_parser()
        elif self.size_bytes != before_bytes:
            self._other_bytes = 0
            if self._left_bytes is None:
                self._left_bytes = self._to_be_counted(self.size_bytes - before_bytes)
        elif self._other_bytes > self._max_header_bytes:
            raise _malformed(_TOO_LARGE)

    def finish(self) -> None:
        """Nothing more will arrive, in an orderly way: completes a body that ends with the connection."""
        self.reusable = False
        if self.status and not self.complete and ends_with_connection(self._received):
            self.complete = True
            self._note_version()

    def take_body(self) -> bytes:
        """All of the body that has arrived and was not taken; empty when there is none."""
        parts = self._parts
        if not parts:
            return b""
        self._parts = []
        self.size_bytes = 0
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        """Let go of the parser, which holds this reader and is held by it."""
        if self._parser is not None:
            self._forget_parser()

    def on_message_begin(self) -> None:
        """A message starts; after a complete one it answers nothing that was asked."""
        if self.complete:
            self.reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or after the head a trailer."""
        self._fields += (name, value.rstrip())  # the parser keeps blanks at the end (RFC 9110 section 5.5)

    def on_headers_complete(self) -> None:
        """The head is complete: of an informational response, or of the one that is forwarded."""
        if self.complete or self._problem:
            return
        assert self._parser is not None
        status = self._parser.get_status_code()
        if 200 <= status < 600:
            self._take_head(status)
        elif 100 <= status < 200 and status != 101:
            self._informational = True
            self.permitted = self.permitted or status == 100
            if values(tuple(self._fields), b"transfer-encoding"):
                self._problem = "the upstream sent an informational response with a body"
        else:
            self._take_odd(status)

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        if self.complete:
            self.reusable = False
        elif self._informational:
            self._problem = "the upstream sent an informational response with a body"
        else:
            self._parts.append(data)
            self.size_bytes += len(data)

    def on_message_complete(self) -> None:
        """The message is complete; when it is the one that is forwarded, so is the response."""
        if self.complete:
            # The parser agrees that a response such as 304 has no body, or read on after the end: see ``reusable``.
            if self._bodyless and self._head_request and values(self._received, b"transfer-encoding"):
                self.reusable = False  # it has read the chunks that there should not be
            self._bodyless = False
            self._fields = []
        elif self._informational:
            assert self._parser is not None
            self._faulty = self._faulty or not self._parser.should_keep_alive()
            self._informational = False
            self._fields = []
        else:
            self.complete = True
            assert self._parser is not None
            self.reusable = self._parser.should_keep_alive() and not self._faulty
            if not self.reusable:
                self._note_version()
            if self._fields:
                self._take_trailers()

    def _start(self, data: bytes) -> bytes:
        """See to it that this is a response of HTTP/1. Returns what to parse: nothing, while that cannot be told.

        Empty lines before it are left out: some servers end a body with one that they do not count.
        """
        if self._held or data[:7] != _START:
            data = (self._held + data).lstrip(b"\r\n")
            if data[:7] not in (_START[: len(data)], _START_OF_2[: len(data)]):
                raise _malformed("the upstream's response is malformed", detail="it does not begin with HTTP/1")
            if len(data) < len(_START):
                if self._other_bytes > self._max_header_bytes:
                    raise _malformed(_TOO_LARGE)
                self._held = data
                return b""
            self._held = b""
            self._faulty = data[:7] == _START_OF_2
        self._started = True
        return data

    def _take_head(self, status: int) -> None:
        received = tuple(self._fields)
        self._fields = []
        if len(received) > self._max_fields or (
            # What arrived is an upper bound, which saves counting.
            self._other_bytes > self._max_header_bytes and sum(map(len, received)) > self._max_header_bytes
        ):
            self._problem = _TOO_LARGE
            return
        headers = passed_on(received)
        if headers is not received:
            names = {name.lower() for name in received[::2]}
            if b"transfer-encoding" in names:
                if has_unknown_coding(received):
                    self._problem = "the upstream used an unknown transfer coding"
                    return
                self._faulty = self._faulty or self._speaks_http10()
            if b"keep-alive" in names:
                self.idle_limit_s = min(self.idle_limit_s, idle_limit_s(received))
        self._received = received
        self.headers = headers
        self.status = status
        if self._head_request or status == 204 or status == 304:
            self._complete_without_body(status)

    def _to_be_counted(self, arrived_bytes: int) -> int:
        """How much of the body, of which the first has arrived, is to be counted; 0: none."""
        lengths = values(self._received, b"content-length")
        if not lengths or len(lengths[0]) > _MAX_LENGTH_DIGITS or values(self._received, b"transfer-encoding"):
            return 0
        left_bytes = int(lengths[0]) - arrived_bytes  # the parser has seen to it that this is one number
        return left_bytes if left_bytes >= _LONG_BYTES else 0

    def _count(self, data: bytes, left_bytes: int) -> None:
        """Take in ``data`` as body, of which so much is left, and what follows the body as nonsense."""
        assert self._parser is not None
        piece = data if len(data) <= left_bytes else data[:left_bytes]
        self._parts.append(piece)
        self.size_bytes += len(piece)
        self._left_bytes = left_bytes - len(piece)
        if not self._left_bytes:
            self.complete = True
            self.reusable = self._parser.should_keep_alive() and not self._faulty and len(data) == left_bytes
            if not self.reusable:
                self._note_version()
            self._forget_parser()

    def _take_odd(self, status: int) -> None:
        """A head with a status that no exchange of HTTP has."""
        self._problem = f"the upstream answered with status {status}"

    def _switched(self, rest: bytes) -> None:
        """What follows the head, ``rest`` to begin with, is of another protocol. Where that was not asked for, the head
        was refused, unless it is none of this response but follows it.
        """
        self.reusable = False

    def _take_trailers(self) -> None:
        received = tuple(self._fields)
        self._fields = []
        if len(received) > self._max_fields or sum(map(len, received)) > self._max_header_bytes:
            self._problem = _TOO_LARGE
        else:
            self.trailers = strip_hop_by_hop(received)

    def _complete_without_body(self, status: int) -> None:
        """Complete now. Unless the parser agrees in its next callback, it waits for a body and must be dropped."""
        assert self._parser is not None
        self.complete = True
        self._bodyless = True
        self.reusable = not self._faulty and self._parser.get_http_version() == "1.1" and not says_close(self._received)
        if status == 204:
            self.reusable = self.reusable and not announces_body(self._received)
            self.headers = without(self.headers, _CONTENT_LENGTH)

    def _fail_unless_complete(self, exc: HttpParserError) -> None:
        """Nonsense after a complete response spoils the connection only."""
        if not self.complete:
            raise _malformed("the upstream's response is malformed", detail=str(exc)) from exc
        self.reusable = False

    def _note_version(self) -> None:
        self.http10 = self._speaks_http10()

    def _speaks_http10(self) -> bool:
        assert self._parser is not None
        return self._parser.get_http_version() == "1.0"

    def _forget_parser(self) -> None:
        self._parser = None
        self._bodyless = False
        del self._feed


def _malformed(message: str, *, detail: str = "") -> SessionError:
    return SessionError(ErrorCode.UPSTREAM_UNREACHABLE, message, detail=detail)
