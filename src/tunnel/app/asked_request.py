"""A request that somebody asks about, as the ingress would hand it on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import SplitResult, urlsplit

from tunnel.domain.envelopes import HttpRequest
from tunnel.domain.errors import ConfigurationError

__all__ = ["as_bytes", "asked_request", "parse_method", "parse_url"]

_PROTOCOLS: Final = {"http": "http", "https": "http", "ws": "websocket", "wss": "websocket"}
_METHOD: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def parse_url(text: str) -> SplitResult:
    """Take apart what a visitor asks for.

    Raises:
        ConfigurationError: This is no absolute URL of ``http(s)`` or ``ws(s)``.
    """
    try:
        url = urlsplit(text)
    except ValueError as error:
        raise ConfigurationError(f"{text!r} is no URL: {error}", key_path="url") from error
    if url.scheme not in _PROTOCOLS or not url.netloc:
        raise ConfigurationError(f"expected a URL such as http://app.example.test/path, got {text!r}", key_path="url")
    return url


def parse_method(text: str) -> str:
    """A request method, as it is.

    Raises:
        ConfigurationError: This cannot be one.
    """
    if not _METHOD.fullmatch(text):
        raise ConfigurationError(f"expected a request method such as GET, got {text!r}", key_path="method")
    return text


def asked_request(url: SplitResult, *, method: str = "GET", fields: Sequence[tuple[bytes, bytes]] = ()) -> HttpRequest:
    """The opening of a request for ``url``; as with curl, a Host field takes the place of the URL's host."""
    host = next((value for name, value in fields if name.lower() == b"host"), as_bytes(url.netloc))
    headers = [each for name, value in fields if name.lower() != b"host" for each in (name, value)]
    return HttpRequest(
        method,
        path=as_bytes(url.path) or b"/",
        query=as_bytes(url.query) or None,
        host=host,
        headers=(b"host", host, *headers),
        protocol=_PROTOCOLS[url.scheme],
    )


def as_bytes(text: str) -> bytes:
    """Text as it is sent; what came in as surrogates was not UTF-8."""
    return text.encode("utf-8", "surrogateescape")
