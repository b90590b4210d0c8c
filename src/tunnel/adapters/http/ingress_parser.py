"""The parser of requests, and of bodies that need none."""

from __future__ import annotations

from typing import Final, Protocol

import httptools

from tunnel.adapters.http.fields import values
from tunnel.domain.envelopes import Headers
from tunnel.domain.limits import KIB

__all__ = ["ParserCallbacks", "left_to_count", "request_parser"]

_LONG_BYTES: Final = 64 * KIB
"""Of a body that is still to come; with less, another parser would cost as much as it saves."""


class ParserCallbacks(Protocol):
    """What a parser tells."""

    def on_message_begin(self) -> None: ...
    def on_url(self, url: bytes) -> None: ...
    def on_header(self, name: bytes, value: bytes) -> None: ...
    def on_headers_complete(self) -> None: ...
    def on_body(self, body: bytes) -> None: ...
    def on_message_complete(self) -> None: ...


def request_parser(callbacks: ParserCallbacks) -> httptools.HttpRequestParser:
    """A parser at the beginning of a request, set up as uvicorn sets up a connection's first.

    It reads on behind a request that is the last of its connection: what follows is for us to leave out.

    Args:
        callbacks: Are told what it finds.
    """
    parser = httptools.HttpRequestParser(callbacks)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser


def left_to_count(headers: Headers, arrived_bytes: int) -> int:
    """How many bytes of a long body are better counted than parsed, as the parser copies them.

    Args:
        headers: Of a request that has a body: without a Content-Length, which was checked, it comes in chunks.
        arrived_bytes: Of the body, so far.

    Returns:
        All that is left of it, or 0: the parser may as well go on.
    """
    length = next(iter(values(headers, b"content-length")), b"0")
    left_bytes = int(length) - arrived_bytes
    return left_bytes if left_bytes >= _LONG_BYTES else 0
