"""What the fields of a response say to this hop, and those that are left when it has read them."""

from __future__ import annotations

import re
from math import inf
from typing import Final

from tunnel.adapters.http.fields import strip_hop_by_hop, tokens, values
from tunnel.domain.envelopes import Headers

__all__ = ["announces_body", "ends_with_connection", "has_unknown_coding", "idle_limit_s", "passed_on", "says_close"]

_COMMON: Final = frozenset(
    spelling
    for name in (
        *(b"Accept-Ranges", b"Access-Control-Allow-Origin", b"Age", b"Cache-Control", b"Content-Encoding"),
        *(b"Content-Language", b"Content-Length", b"Content-Security-Policy", b"Content-Type", b"Date", b"ETag"),
        *(b"Expires", b"Last-Modified", b"Location", b"Pragma", b"Referrer-Policy", b"Server", b"Set-Cookie"),
        *(b"Strict-Transport-Security", b"Vary", b"Via", b"X-Content-Type-Options", b"X-Frame-Options"),
        *(b"X-Powered-By", b"X-Request-Id"),
    )
    for spelling in (name, name.lower())
)
"""Fields that are passed on, as they are mostly written: with these alone there is no need to look closer."""

_TIMEOUT: Final = re.compile(rb"(?:^|[,;\s])timeout\s*=\s*([0-9]{1,6})(?:$|[,;\s])", re.IGNORECASE)

_SHARE_OF_TIMEOUT: Final = 0.8
"""Of the time for which an upstream says it keeps a connection: a request must not meet its closing half way."""


def passed_on(received: Headers) -> Headers:
    """``received`` without hop-by-hop fields; the same tuple when there are none."""
    return received if _COMMON.issuperset(received[::2]) else strip_hop_by_hop(received)


def has_unknown_coding(received: Headers) -> bool:
    """Whether there is a transfer coding that the parser does not undo: it knows chunked and no other."""
    codings = values(received, b"transfer-encoding")
    return bool(codings) and [coding.strip().lower() for coding in codings] != [b"chunked"]


def ends_with_connection(received: Headers) -> bool:
    """Whether nothing but the end of the connection tells where the body ends (RFC 9112 section 6.3)."""
    return not values(received, b"content-length") and not values(received, b"transfer-encoding")


def announces_body(received: Headers) -> bool:
    """Whether the fields speak of a body that is not empty, which those of a 204 must not (RFC 9110 section 8.6)."""
    lengths = values(received, b"content-length")
    return any(length.strip(b"0") for length in lengths) or bool(values(received, b"transfer-encoding"))


def says_close(received: Headers) -> bool:
    """Whether the upstream closes the connection after this response (RFC 9112 section 9.6)."""
    return b"close" in tokens(values(received, b"connection"))


def idle_limit_s(received: Headers) -> float:
    """How long the connection may be idle and used again, as far as the upstream says it in Keep-Alive.

    Source: RFC 2068 section 19.7.1.1, which RFC 9112 appendix C.2.2 refers to.
    """
    said = (_TIMEOUT.search(value) for value in values(received, b"keep-alive"))
    return min((int(found[1]) * _SHARE_OF_TIMEOUT for found in said if found is not None), default=inf)
