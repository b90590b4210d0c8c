"""Header fields as flat tuples of names and values: reading them, and leaving out what ends at one hop.

Field names compare case-insensitively (RFC 9110 section 5.1); order, case and repetition are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from tunnel.domain.envelopes import Headers

__all__ = ["pairs", "strip_hop_by_hop", "takes_trailers", "tokens", "trailer_fields", "values", "without"]

_CONNECTION: Final = b"connection"

_HOP_BY_HOP: Final = frozenset(
    {
        _CONNECTION,
        b"keep-alive",
        b"proxy-connection",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"te",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""RFC 9110 section 7.6.1. ``Trailer`` is not one of them: trailers are forwarded, so their announcement holds."""

_END_TO_END: Final = frozenset(
    {
        b"authorization",
        b"cache-control",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"cookie",
        b"forwarded",
        b"host",
        b"set-cookie",
        b"trailer",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-proto",
        b"x-real-ip",
        b"x-request-id",
    }
)
"""What ``Connection`` cannot remove: losing these would change framing, routing, whom the target believes it serves, or
the name under which the request is found again. Nor can it remove any other ``X-Forwarded-``, which proxies give many
meanings.

RFC 9110 section 7.6.1 forbids naming fields meant for all recipients; attackers name them to have proxies drop them.
"""

_HEAD_ONLY: Final = _END_TO_END | frozenset(
    {b"content-range", b"expect", b"max-forwards", b"set-cookie", b"www-authenticate"}
)
"""What means something in a head alone: it frames, routes, authenticates, or controls. Taken from trailers, it would
get past whoever looked at the head (RFC 9110 section 6.5.1)."""

_PLAIN_OPTIONS: Final = frozenset({b"keep-alive", b"Keep-Alive", b"close", b"Close", b"upgrade", b"Upgrade"})
"""Values of Connection that name no field which is not removed anyway; looking here first saves a microsecond."""


def pairs(headers: Headers) -> Iterator[tuple[bytes, bytes]]:
    """Each field's name and value, in order."""
    flat = iter(headers)
    return zip(flat, flat, strict=True)


def values(headers: Headers, name: bytes) -> list[bytes]:
    """The values of every field called ``name``, which is given in lower case; empty when there is none."""
    return [value for field, value in pairs(headers) if field.lower() == name]


def tokens(lists: Iterable[bytes]) -> set[bytes]:
    """The members of comma-separated lists, in lower case and without surrounding blanks (RFC 9110 section 5.6.1)."""
    found = {member.strip(b" \t").lower() for each in lists for member in each.split(b",")}
    found.discard(b"")
    return found


def without(headers: Headers, names: frozenset[bytes] | set[bytes]) -> Headers:
    """``headers`` without the fields whose lower-case name is in ``names``; the same tuple if there are none."""
    own = list(map(bytes.lower, headers[::2]))
    return headers if names.isdisjoint(own) else _leave_out(headers, own, names)


def strip_hop_by_hop(headers: Headers) -> Headers:
    """``headers`` without the fields that concern one connection only.

    These are Connection and what it names, Keep-Alive, Proxy-Connection, Proxy-Authenticate, Proxy-Authorization, TE,
    Transfer-Encoding and Upgrade. Connection naming what every recipient needs (Host, Content-Length and the like) is
    disregarded. Order and case are kept.

    Returns:
        The same tuple when there is nothing to remove.

    Source: RFC 9110 section 7.6.1.
    """
    names = list(map(bytes.lower, headers[::2]))
    if _HOP_BY_HOP.isdisjoint(names):
        return headers
    removed: frozenset[bytes] | set[bytes] = _HOP_BY_HOP
    if _CONNECTION in names:
        options = [value for name, value in zip(names, headers[1::2], strict=True) if name == _CONNECTION]
        if not _PLAIN_OPTIONS.issuperset(options):
            named = (name for name in tokens(options) if not name.startswith(b"x-forwarded-"))
            removed = removed.union(named) - _END_TO_END
    return _leave_out(headers, names, removed)


def takes_trailers(headers: Headers) -> bool:
    """Whether TE says that trailers of the response are wanted. Some servers send none unless it does.

    Source: RFC 9110 sections 6.5.1 and 10.1.4.
    """
    return b"trailers" in tokens(values(headers, b"te"))


def trailer_fields(headers: Headers) -> Headers:
    """``headers`` without those that may not be trailers: fields of one connection, and those that a head alone has.

    Source: RFC 9110 section 6.5.1.
    """
    return without(strip_hop_by_hop(headers), _HEAD_ONLY)


def _leave_out(headers: Headers, names: list[bytes], removed: frozenset[bytes] | set[bytes]) -> Headers:
    """Deletes from a copy, from its end so that earlier positions stay true: the fastest way measured."""
    kept = list(headers)
    for index in range(len(names) - 1, -1, -1):
        if names[index] in removed:
            del kept[2 * index : 2 * index + 2]
    return tuple(kept)
