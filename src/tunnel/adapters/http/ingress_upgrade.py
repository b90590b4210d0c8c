"""Reading on where a request with a body asks for an upgrade that it does not get.

To the parser an upgrade is the end of HTTP: it skips the body, says that the message is complete, and leaves what
follows to others. But the visitor was answered as if it had not asked, so its body comes as announced, and would be
taken for the next request. The way on:

1. Another parser is told a head that frames a body in the same way, and nothing is told of it.
2. It is fed what follows, and tells of it to whom the first one did: the body, its end, and the requests after it.

Source: RFC 9110 section 7.8: a server may ignore Upgrade. RFC 9112 section 6.3: a body is framed by its head.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunnel.adapters.http.fields import values
from tunnel.adapters.http.ingress_parser import ParserCallbacks, request_parser
from tunnel.domain.envelopes import Headers

if TYPE_CHECKING:
    from httptools import HttpRequestParser

__all__ = ["parser_within_body"]


def parser_within_body(callbacks: ParserCallbacks, headers: Headers) -> HttpRequestParser:
    """A parser at the beginning of a body.

    Args:
        callbacks: Are told what follows.
        headers: Of a request that has a body: without a Content-Length, which was checked, it comes in chunks.
    """
    told = _Told(callbacks)
    parser = request_parser(told)
    length = next(iter(values(headers, b"content-length")), None)
    framing = b"content-length: " + length if length is not None else b"transfer-encoding: chunked"
    parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n\r\n" % framing)
    told.silent = False
    return parser


class _Told:
    """Passes on what a parser tells, once it has read the head."""

    def __init__(self, callbacks: ParserCallbacks) -> None:
        self._callbacks = callbacks
        self.silent = True
        self.on_body = callbacks.on_body
        self.on_message_complete = callbacks.on_message_complete

    def on_message_begin(self) -> None:
        if not self.silent:
            self._callbacks.on_message_begin()

    def on_url(self, url: bytes) -> None:
        if not self.silent:
            self._callbacks.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.silent:
            self._callbacks.on_header(name, value)

    def on_headers_complete(self) -> None:
        if not self.silent:
            self._callbacks.on_headers_complete()
