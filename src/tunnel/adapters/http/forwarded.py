"""Telling the target for whom a request is forwarded: X-Forwarded-* or Forwarded.

What an untrusted peer says of this is replaced, since whoever is behind us believes it: every ``X-Forwarded-*``
field, ``Forwarded`` and ``X-Real-IP`` goes, in spellings with underscores too, which CGI-like servers cannot tell from
hyphens. A trusted proxy's fields stay and ours is appended.

Source: RFC 7239; de facto X-Forwarded-For, -Proto, -Host.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, Literal, TypeAlias

from tunnel.domain.envelopes import Headers
from tunnel.domain.errors import ConfigurationError

__all__ = ["ForwardedStyle", "Forwarder"]

ForwardedStyle: TypeAlias = Literal["x", "rfc7239"]

_Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""RFC 9110 section 5.6.2. Any other value of a Forwarded parameter is quoted (RFC 7239 section 4)."""

_UNKNOWN: Final = "unknown"
"""RFC 7239 section 6.2, and what squid and others put into X-Forwarded-For: the peer has no address (Unix socket)."""

_REMEMBERED_PEERS: Final = 4096
"""Addresses whose trust is remembered, so that matching networks is not paid for on every request."""


class Forwarder:
    """Sets the fields that tell a target who asked, over what, and for which host.

    Args:
        style: ``"x"`` sets X-Forwarded-For, -Proto and -Host; ``"rfc7239"`` sets Forwarded.
        trusted_proxies: Addresses and CIDR networks of peers whose own such fields are kept. None: nobody's are.

    Raises:
        ConfigurationError: Something in ``trusted_proxies`` is neither an address nor a network.
    """

    def __init__(self, style: ForwardedStyle = "x", trusted_proxies: Sequence[str] = ()) -> None:
        self._rfc7239 = style == "rfc7239"
        self._networks = tuple(map(_network, trusted_proxies))
        self._is_listed = lru_cache(_REMEMBERED_PEERS)(self._match)

    def forward(self, headers: Headers, *, peer: str, scheme: str, host: bytes) -> Headers:
        """``headers`` with the fields set, in place of those an untrusted peer sent or after those of a trusted one.

        With X-Forwarded-* a trusted proxy's -Proto and -Host stay as they are, since they tell what the visitor used;
        -For becomes one field. The other style's fields of a trusted proxy are left alone.

        Args:
            headers: Names in lower case.
            peer: The peer's IP address without port; empty when it has none.
            scheme: ``http`` or ``https``.
            host: The request's authority; empty when it has none.
        """
        peer = _plain(peer)
        trusted = bool(self._networks) and self._is_listed(peer)
        if not trusted:
            headers = _without_claims(headers)
        if self._rfc7239:
            return (*headers, b"forwarded", _element(peer, scheme, host))
        if trusted:
            return _append(headers, peer, scheme, host)
        headers += (b"x-forwarded-for", (peer or _UNKNOWN).encode(), b"x-forwarded-proto", scheme.encode())
        return (*headers, b"x-forwarded-host", host) if host else headers

    def trusts(self, peer: str) -> bool:
        """Whether ``peer``, an IP address without port, is a trusted proxy."""
        return bool(self._networks) and self._is_listed(_plain(peer))

    def _match(self, peer: str) -> bool:
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in self._networks)


def _plain(peer: str) -> str:
    """Without what a socket that listens on both puts before the address of an IPv4 visitor, and without a zone.

    A zone says which link of ours an address is on, and means nothing to anybody else (RFC 4007 section 11.2).
    """
    if ":" in peer:
        peer = peer.partition("%")[0]
        return peer[7:] if "." in peer and peer.startswith("::ffff:") else peer
    return peer


def _network(text: str) -> _Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError as exc:
        raise ConfigurationError(
            f"expected an IP address or CIDR network, not {text!r}", key_path="trusted_proxies"
        ) from exc


def _is_claim(name: bytes) -> bool:
    name = name.replace(b"_", b"-")
    return name.startswith(b"x-forwarded") or name in (b"forwarded", b"x-real-ip")


def _without_claims(headers: Headers) -> Headers:
    names = b"\n".join(headers[::2])
    if b"forwarded" not in names and b"real" not in names:  # nearly always; saves looking at each
        return headers
    kept: list[bytes] = []
    for position in range(0, len(headers), 2):
        if not _is_claim(headers[position]):
            kept += headers[position : position + 2]
    return tuple(kept)


def _append(headers: Headers, peer: str, scheme: str, host: bytes) -> Headers:
    kept: list[bytes] = []
    hops: list[bytes] = []
    for position in range(0, len(headers), 2):
        if headers[position] == b"x-forwarded-for":
            hops.append(headers[position + 1])
        else:
            kept += headers[position : position + 2]
    hops.append((peer or _UNKNOWN).encode())
    kept += (b"x-forwarded-for", b", ".join(hops))
    names = headers[::2]
    if b"x-forwarded-proto" not in names:
        kept += (b"x-forwarded-proto", scheme.encode())
    if host and b"x-forwarded-host" not in names:
        kept += (b"x-forwarded-host", host)
    return tuple(kept)


def _element(peer: str, scheme: str, host: bytes) -> bytes:
    node = f"[{peer}]" if ":" in peer else peer or _UNKNOWN
    element = b"for=" + _quoted(node.encode())
    if host:
        element += b";host=" + _quoted(host)
    return element + b";proto=" + _quoted(scheme.encode())


def _quoted(value: bytes) -> bytes:
    if _TOKEN.fullmatch(value):
        return value
    return b'"' + value.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
