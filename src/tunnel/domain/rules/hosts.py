"""The normal form of hosts, in which rules and requests are compared."""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address
from typing import Final

from tunnel.domain.errors import ErrorCode, SessionError

__all__ = ["MAX_HOST_CHARACTERS", "is_host_name", "normal_host", "normal_ipv6"]

MAX_HOST_CHARACTERS: Final = 253
"""Characters; longest name DNS can hold (RFC 1035 section 2.3.4), without the trailing dot."""

_MAX_AUTHORITY_BYTES: Final = MAX_HOST_CHARACTERS + len(".:65535")
_MAX_PORT: Final = 65535
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*")
_AUTHORITY: Final = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(?::([0-9]{0,5}))?")
_PLAIN: Final = re.compile(rb"([a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*)(?::[0-9]{1,4})?")

_REMEMBERED_HOSTS: Final = 4096
"""Authorities that are taken apart once: visitors name the same few hosts, with the same port, over and over."""

_NORMAL_BYTES: Final = b"abcdefghijklmnopqrstuvwxyz0123456789-_."
_MAX_LABEL_BYTES: Final = 63


def normal_host(authority: bytes) -> bytes:
    """The host of an authority in the form rules are compiled to.

    Lower case, without port, without the root's trailing dot; an IPv6 address in brackets, shortened as RFC 5952 says.
    An empty authority (RFC 9110 section 7.2 allows one) is the empty host, which only rules without a host match.

    Args:
        authority: ``host[:port]`` as received: Host header, ``:authority``, or authority of an absolute-form target.

    Raises:
        SessionError: ``BAD_REQUEST``; this is no host with an optional port, or it holds user information.

    Source: RFC 3986 section 3.2.2; RFC 9110 section 7.2.
    """
    # 1. Nearly every host is in normal form already; these few tests find that out in a quarter of a pattern's time.
    # 2. Most others have a port, and are in normal form before it.
    # 3. The rest is taken apart.
    if (
        len(authority) <= _MAX_LABEL_BYTES
        and not authority.rstrip(_NORMAL_BYTES)
        and authority.find(b"..") < 0
        and authority[:1] != b"."
        and authority[-1:] != b"."
    ):
        return authority
    return _normalised(authority)


@lru_cache(_REMEMBERED_HOSTS)
def _normalised(authority: bytes) -> bytes:
    plain = _PLAIN.fullmatch(authority)
    if plain is not None and plain.end(1) <= MAX_HOST_CHARACTERS:
        return plain[1]
    found = _AUTHORITY.fullmatch(authority) if len(authority) <= _MAX_AUTHORITY_BYTES else None
    if found is None:
        raise _bad_host()
    name, port = found.groups()
    if port and int(port) > _MAX_PORT:
        raise _bad_host()
    host = name.decode("ascii").lower()
    if host[0] == "[":
        host = normal_ipv6(host) or ""
    elif host[-1] == ".":
        host = host[:-1]
    if not host or (host[0] != "[" and not is_host_name(host)):
        raise _bad_host()
    return host.encode("ascii")


def normal_ipv6(literal: str) -> str | None:
    """``[0:0::1]`` as ``[::1]``; None when this is no IPv6 address in brackets. Zones are not accepted."""
    if literal[:1] != "[" or literal[-1:] != "]" or "%" in literal:
        return None
    try:
        return f"[{IPv6Address(literal[1:-1]).compressed}]"
    except AddressValueError:
        return None


def is_host_name(name: str) -> bool:
    """Whether ``name`` is a DNS name or IPv4 address, without wildcard, port and trailing dot; letter case is free."""
    return len(name) <= MAX_HOST_CHARACTERS and _NAME.fullmatch(name) is not None


def _bad_host() -> SessionError:
    return SessionError(ErrorCode.BAD_REQUEST, "invalid host")
