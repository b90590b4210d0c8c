"""One response after another, as it comes in: bytes to head, body and trailers. Does no I/O.

What the parser leaves to its user is decided here:

1. Responses to HEAD, and 204 and 304, have no body whatever their fields say (RFC 9112 section 6.3). The parser knows
   nothing of HEAD, so it is dropped after one and another is made.
2. A body without Content-Length and chunks ends with the connection; the parser is never told of that.
3. Fields arrive through one callback, before the body as headers and after it as trailers; they are kept apart.
4. The parser has no limits. What arrives without a byte of body in it, informational responses, head, chunk headers
   and trailers, counts towards one, so that nothing grows without bound.
"""

from __future__ import annotations

from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from tunnel.adapters.http.fields import strip_hop_by_hop, tokens, values, without
from tunnel.domain.envelopes import Headers
from tunnel.domain.errors import ErrorCode, SessionError

__all__ = ["ResponseReader"]

_CONTENT_LENGTH: Final = frozenset({b"content-length"})
_TOO_LARGE: Final = "the upstream's header is too large"


class ResponseReader:
    """Reads the responses of one connection.

    ``begin`` for each exchange, then ``feed`` what arrives and ``finish`` when nothing more will. ``parts`` and
    ``size_bytes`` are the body received and not yet taken; whoever takes it resets both.

    Attributes:
        status: 0 until the head of the final response is complete.
        headers: Of the response, without hop-by-hop fields.
        trailers: Complete with ``complete``.
        complete: All of the response has arrived.
        reusable: The connection may carry another exchange; meaningful once complete.
        heard: Some byte of an answer has arrived.
    """

    __slots__ = (
        "_bodyless",
        "_fields",
        "_head_request",
        "_informational",
        "_max_header_bytes",
        "_other_bytes",
        "_parser",
        "_problem",
        "_received",
        "complete",
        "headers",
        "heard",
        "parts",
        "reusable",
        "size_bytes",
        "status",
        "trailers",
    )

    def __init__(self, *, max_header_bytes: int) -> None:
        self._max_header_bytes = max_header_bytes
        self._parser: HttpResponseParser | None = None
        self.begin(head_request=False)

    def begin(self, *, head_request: bool) -> None:
        """Forget the exchange before; ``head_request`` says that the next answers HEAD."""
        self._head_request = head_request
        self._bodyless = False
        self._informational = False
        self._fields: list[bytes] = []
        self._received: Headers = ()
        self._other_bytes = 0
        self._problem = ""
        self.status = 0
        self.headers: Headers = ()
        self.trailers: Headers = ()
        self.parts: list[bytes] = []
        self.size_bytes = 0
        self.complete = False
        self.reusable = False
        self.heard = False

    def feed(self, data: bytes) -> None:
        """Take in what arrived.

        Raises:
            SessionError: ``upstream_unreachable``: this is no response that can be forwarded.
        """
        self.heard = True
        before_bytes = self.size_bytes
        parser = self._parser
        if parser is None:
            parser = self._parser = HttpResponseParser(self)
        try:
            parser.feed_data(data)
        except HttpParserUpgrade:
            self._problem = self._problem or "the upstream switched protocols unasked"
        except HttpParserError as exc:
            self._fail_unless_complete(exc)
        if self._bodyless:
            self._parser = None
        if self._problem:
            raise _malformed(self._problem)
        if self.complete:
            return
        if self.size_bytes == before_bytes:
            self._count_other(len(data))
        else:
            self._other_bytes = 0

    def finish(self) -> None:
        """Nothing more will arrive, in an orderly way: completes a body that ends with the connection."""
        self.reusable = False
        if self.status and not self.complete and self._ends_with_connection():
            self.complete = True

    def close(self) -> None:
        """Let go of the parser, which holds this reader and is held by it."""
        self._parser = None

    def on_message_begin(self) -> None:
        """A message starts; after a complete one it answers nothing that was asked."""
        if self.complete:
            self.reusable = False
            self._fields = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or after the head a trailer."""
        self._fields.append(name)
        self._fields.append(value)

    def on_headers_complete(self) -> None:
        """The head is complete: of an informational response, or of the one that is forwarded."""
        if self.complete:
            return
        status = self._parser.get_status_code() if self._parser is not None else 0
        if status < 200 and status != 101:
            self._informational = True
        elif 200 <= status < 600:
            self._take_head(status)
        else:
            self._problem = f"the upstream answered with status {status}"

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        if self.complete:
            self.reusable = False
        elif self._informational:
            self._problem = "the upstream sent an informational response with a body"
        else:
            self.parts.append(data)
            self.size_bytes += len(data)

    def on_message_complete(self) -> None:
        """The message is complete; when it is the one that is forwarded, so is the response."""
        if self._informational:
            self._informational = False
            self._fields = []
        elif self.complete:
            self._bodyless = False
        elif self.status:
            self.complete = True
            self.reusable = self._parser is not None and self._parser.should_keep_alive()
            self.trailers = strip_hop_by_hop(tuple(self._fields)) if self._fields else ()

    def _take_head(self, status: int) -> None:
        received = tuple(self._fields)
        headers = strip_hop_by_hop(received)
        self._fields = []
        if sum(map(len, received)) > self._max_header_bytes:
            self._problem = _TOO_LARGE
            return
        if headers is not received and not self._decodable(received):
            return
        self._received = received
        self.headers = headers
        self.status = status
        if self._head_request or status == 204 or status == 304:
            self._complete_without_body(status)

    def _complete_without_body(self, status: int) -> None:
        """Complete now. Unless the parser agrees in its next callback, it waits for a body and must be dropped."""
        self.complete = True
        self._bodyless = True
        self.reusable = self._parser is not None and self._persists(self._parser.get_http_version())
        if status == 204:
            self.headers = without(self.headers, _CONTENT_LENGTH)

    def _persists(self, version: str) -> bool:
        options = tokens(values(self._received, b"connection"))
        return version == "1.1" and b"close" not in options

    def _decodable(self, received: Headers) -> bool:
        """Whether the parser undoes all transfer codings: it knows chunked and no other."""
        codings = values(received, b"transfer-encoding")
        if codings and [coding.strip().lower() for coding in codings] != [b"chunked"]:
            self._problem = "the upstream used an unknown transfer coding"
        return not self._problem

    def _ends_with_connection(self) -> bool:
        received = self._received
        return not values(received, b"content-length") and not values(received, b"transfer-encoding")

    def _count_other(self, size_bytes: int) -> None:
        self._other_bytes += size_bytes
        if self._other_bytes > self._max_header_bytes:
            raise _malformed(_TOO_LARGE)

    def _fail_unless_complete(self, exc: HttpParserError) -> None:
        """Nonsense after a complete response spoils the connection only."""
        if not self.complete:
            raise _malformed("the upstream's response is malformed", detail=str(exc)) from exc
        self.reusable = False


def _malformed(message: str, *, detail: str = "") -> SessionError:
    return SessionError(ErrorCode.UPSTREAM_UNREACHABLE, message, detail=detail)
