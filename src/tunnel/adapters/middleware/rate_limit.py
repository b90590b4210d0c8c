"""``use = "rate_limit"``: so many requests in so much time, for each visitor or for all."""

from __future__ import annotations

import math
from hashlib import sha256
from ipaddress import IPv6Address
from typing import Annotated, ClassVar, Final

import msgspec
from msgspec import Meta

from tunnel.domain.envelopes import Opening
from tunnel.domain.errors import ConfigurationError, ErrorCode
from tunnel.domain.middleware.header_edits import check_field_name, first_field
from tunnel.domain.middleware.token_bucket import TokenBuckets
from tunnel.domain.middleware.visitor import Networks, visitor_of
from tunnel.domain.opening_fields import opening_fields
from tunnel.domain.refusal import Refusal
from tunnel.ports.clock import Clock
from tunnel.ports.middleware import Middleware
from tunnel.ports.target import ProxyTarget, Stream

__all__ = ["RateLimitMiddleware", "RateLimitOptions"]

_LONG_KEY_BYTES: Final = 64
"""A longer key is kept as its hash, so that a bucket takes little room whatever visitors send."""


class RateLimitOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[middleware.NAME]``.

    Args:
        requests: In ``per_s`` seconds, on average.
        per_s: Seconds.
        burst: At once; None: ``requests``, at least 1.
        by: ``address``, ``header:NAME`` or ``all``: those with the same share a limit.
        ipv6_prefix: Bits of an IPv6 address that count, since one visitor has many.
        max_keys: Visitors that are told apart; of more, those unseen for longest are forgotten.
        trusted_proxies: Who may say for whom it asks.
    """

    requests: Annotated[float, Meta(gt=0, le=1_000_000)]
    per_s: Annotated[float, Meta(gt=0, le=86_400)] = 1.0
    burst: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    by: str = "address"
    ipv6_prefix: Annotated[int, Meta(ge=1, le=128)] = 64
    max_keys: Annotated[int, Meta(ge=1, le=10_000_000)] = 100_000
    trusted_proxies: tuple[str, ...] = ()


class RateLimitMiddleware(Middleware):
    """Refuses what comes too often with 429 and ``Retry-After``; a TCP connection is reset.

    Those of which nobody knows the address, or that lack the header, share one limit.

    Args:
        options: How often.
        clock: Time.

    Raises:
        ConfigurationError: ``by`` or a network is malformed.

    Source: Traefik, RateLimit; RFC 6585 section 4.
    """

    Options: ClassVar[type[msgspec.Struct]] = RateLimitOptions
    protocols: ClassVar[frozenset[str]] = frozenset({"http", "grpc", "websocket", "tcp"})

    def __init__(self, options: RateLimitOptions, clock: Clock) -> None:
        by, colon, name = options.by.partition(":")
        if colon and by == "header":
            check_field_name(name, "by")
        elif options.by not in ("address", "all"):
            raise ConfigurationError('expected "address", "header:NAME" or "all"', key_path="by")
        self._by = by
        self._field = name.lower().encode()
        self._ipv6_bits = 128 - options.ipv6_prefix
        self._trusted = Networks(options.trusted_proxies, "trusted_proxies")
        burst = max(1, math.floor(options.requests)) if options.burst is None else options.burst
        self._buckets = TokenBuckets(options.requests / options.per_s, burst, max_keys=options.max_keys)
        self._clock = clock

    async def handle(self, stream: Stream, target: ProxyTarget) -> None:
        wait_s = self._buckets.take(self._key(stream.head, stream.peer), self._clock.now())
        if wait_s:
            headers = (b"retry-after", b"%d" % max(1, math.ceil(wait_s)))
            raise Refusal(ErrorCode.OVERLOADED, "too many requests", status=429, headers=headers)
        await target.handle(stream)

    def _key(self, head: Opening, peer: str) -> bytes:
        if self._by == "all":
            return b""
        if self._by == "header":
            value = first_field(opening_fields(head), self._field) or b""
            return value if len(value) <= _LONG_KEY_BYTES else sha256(value).digest()
        visitor = visitor_of(head, peer, self._trusted)
        if visitor is None:
            return b""
        if isinstance(visitor, IPv6Address):
            return b"6%x" % (int(visitor) >> self._ipv6_bits)
        return b"4" + visitor.packed
