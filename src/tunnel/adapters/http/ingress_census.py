"""What a head's fields ask of whoever forwards it, found in one pass over their names.

Nearly every head has one Host, some fields for both ends, and nothing else that a proxy has to act on. A number is
known for each name, and the sum over a head counts each kind of field in its own 14 bits: comparing the sum with that
of such a head tells it from those that need care.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

__all__ = [
    "CODING",
    "EXPECT",
    "HOP",
    "HOST",
    "LENGTH",
    "MALFORMED",
    "MAX_FIELDS",
    "NAMED",
    "TE",
    "TRAILER",
    "UPGRADE",
    "census",
    "tally",
]

_LANE_BITS: Final = 14

MAX_FIELDS: Final = (1 << _LANE_BITS) - 1
"""More than that many of one kind would be taken for another; heads are bounded well below."""

# The kinds that are met most come first: sums of those alone are small numbers, and fast.
HOST: Final = 1
LENGTH: Final = 1 << _LANE_BITS
"""Content-Length."""
NAMED: Final = 1 << 2 * _LANE_BITS
"""X-Request-Id."""
HOP: Final = 1 << 3 * _LANE_BITS
"""Any field that concerns one connection only, Transfer-Encoding and Upgrade too (RFC 9110 section 7.6.1)."""
TRAILER: Final = 1 << 4 * _LANE_BITS
"""The announcement of trailers."""
EXPECT: Final = 1 << 5 * _LANE_BITS
CODING: Final = 1 << 6 * _LANE_BITS
"""Transfer-Encoding, which counts as ``HOP`` besides."""
UPGRADE: Final = 1 << 7 * _LANE_BITS
"""Upgrade, which counts as ``HOP`` besides."""
MALFORMED: Final = 1 << 8 * _LANE_BITS
"""What is no field name."""
TE: Final = 1 << 9 * _LANE_BITS
"""TE, which counts as ``HOP`` besides. The last kind: a census that is no less has one."""

_TOKEN_BYTES: Final = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
"""What a field name consists of (RFC 9110 section 5.6.2)."""

_KINDS: Final = {
    b"host": HOST,
    b"content-length": LENGTH,
    b"connection": HOP,
    b"keep-alive": HOP,
    b"proxy-connection": HOP,
    b"proxy-authenticate": HOP,
    b"proxy-authorization": HOP,
    b"te": HOP + TE,
    b"transfer-encoding": HOP + CODING,
    b"upgrade": HOP + UPGRADE,
    b"expect": EXPECT,
    b"trailer": TRAILER,
    b"x-request-id": NAMED,
}


@lru_cache(4096)
def _kind(name: bytes) -> int:
    """Cached, since names repeat from message to message."""
    if not name or name.translate(None, _TOKEN_BYTES):
        return MALFORMED
    return _KINDS.get(name.lower(), 0)


def census(names: Iterable[bytes]) -> int:
    """The sum of the kinds of at most ``MAX_FIELDS`` names, in any letter case."""
    return sum(map(_kind, names))


def tally(total: int, kind: int) -> int:
    """How many fields of ``kind`` a census counted."""
    return total // kind & MAX_FIELDS
