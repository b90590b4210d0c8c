"""Which content coding a response may get, and what its head says then.

Source: RFC 9110 sections 8.4, 12.5.3 and 12.5.5; RFC 9111 section 5.2.2.6 for ``no-transform``.
"""

from __future__ import annotations

import re
from typing import Final

from tunnel.domain.envelopes import Headers, HttpResponse
from tunnel.domain.middleware.header_edits import first_field, without_fields

__all__ = ["Compressible", "accepts", "coded_headers", "varying_headers"]

_QUALITY: Final = re.compile(rb"[ \t]*q=([01](?:\.[0-9]{0,3})?)[ \t]*", re.IGNORECASE)

_ENCODED: Final = frozenset(
    {b"content-length", b"content-encoding", b"accept-ranges", b"content-md5", b"content-digest"}
)
"""What is said of the bytes as they were."""

_BODILESS: Final = frozenset({204, 205, 206, 304})
"""Statuses of answers without a body, and of a part of one, whose positions are those of the whole."""


def accepts(field: bytes, coding: bytes) -> bool:
    """Whether a visitor would rather have ``coding`` than nothing of the kind.

    Args:
        field: All of its Accept-Encoding, joined; empty for none, which asks for none.
        coding: ``gzip``.
    """
    wanted = _quality(field, coding)
    plain = _quality(field, b"identity")
    if wanted is None:
        wanted = _quality(field, b"*")
    return bool(wanted) and (plain is None or wanted is None or wanted >= plain)


def _quality(field: bytes, coding: bytes) -> float | None:
    """What the field says of a coding, 0 to 1; None: nothing. Malformed weights count as 0."""
    for member in field.split(b","):
        name, semicolon, weight = member.partition(b";")
        name = name.strip(b" \t").lower()
        if name == coding or (coding == b"gzip" and name == b"x-gzip"):
            if not semicolon:
                return 1.0
            found = _QUALITY.fullmatch(weight)
            return 0.0 if found is None else min(1.0, float(found[1]))
    return None


class Compressible:
    """Says which responses are worth compressing. Immutable.

    Args:
        types: Content types in lower case; ``text/*`` is all of text, ``+json`` all that end so.
        min_bytes: Shorter bodies, as far as their length is known, stay as they are.
    """

    __slots__ = ("_exact", "_min_bytes", "_prefixes", "_suffixes")

    def __init__(self, types: tuple[str, ...], *, min_bytes: int) -> None:
        self._exact: Final = frozenset(each.encode() for each in types)
        self._prefixes: Final = tuple(each[:-1].encode() for each in types if each.endswith("/*"))
        self._suffixes: Final = tuple(each.encode() for each in types if each.startswith("+"))
        self._min_bytes: Final = min_bytes

    def __call__(self, head: HttpResponse) -> bool:
        """Whether a response is one of those."""
        headers = head.headers
        if head.status < 200 or head.status in _BODILESS or first_field(headers, b"content-range") is not None:
            return False
        if (first_field(headers, b"content-encoding") or b"identity").strip().lower() != b"identity":
            return False
        names = [name.lower() for name in headers[::2]]
        values = zip(names, headers[1::2], strict=False)
        if any(name == b"cache-control" and b"no-transform" in value.lower() for name, value in values):
            return False
        length = first_field(headers, b"content-length")
        size = len(head.body) if head.end else int(length) if length is not None and length.isdigit() else None
        if size is not None and (size == 0 or size < self._min_bytes):
            return False
        kind = (first_field(headers, b"content-type") or b"").partition(b";")[0].strip().lower()
        return bool(kind) and (kind in self._exact or kind.startswith(self._prefixes) or kind.endswith(self._suffixes))


def varying_headers(headers: Headers) -> Headers:
    """``headers`` of a response that would be another one for another Accept-Encoding."""
    names = [name.lower() for name in headers[::2]]
    for name, value in zip(names, headers[1::2], strict=False):
        if name == b"vary" and {b"*", b"accept-encoding"} & {each.strip().lower() for each in value.split(b",")}:
            return headers
    return (*headers, b"vary", b"Accept-Encoding")


def coded_headers(headers: Headers, coding: bytes) -> Headers:
    """``headers`` of a response whose body is coded: of unknown length, with a weak entity tag at most."""
    kept = list(without_fields(headers, _ENCODED))
    for at in range(0, len(kept), 2):
        if kept[at].lower() == b"etag" and not kept[at + 1].startswith(b"W/"):
            kept[at + 1] = b"W/" + kept[at + 1]
    return (*varying_headers(tuple(kept)), b"content-encoding", coding)
