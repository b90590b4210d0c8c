"""Who asks, and over what, as the ingress of the server wrote it into the request.

An ingress appends the address of its peer to X-Forwarded-For or Forwarded and takes out what others than its trusted
proxies wrote. So the last address can be believed, and the one before it if the last is a trusted proxy's, and so on:
the visitor is the last that is none.

Source: docs/reference/http.md, forwarded fields; RFC 7239 section 4.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias

from tunnel.domain.envelopes import Headers, HttpRequest, Opening, TcpOpen
from tunnel.domain.errors import ConfigurationError

__all__ = ["Address", "Networks", "scheme_of", "visitor_of"]

Address: TypeAlias = IPv4Address | IPv6Address
_Network: TypeAlias = IPv4Network | IPv6Network

_FOR: Final = re.compile(rb"(?:^|[;,])[ \t]*for=(\"[^\"]*\"|[^;,]*)", re.IGNORECASE)
_PROTO: Final = re.compile(rb"(?:^|[;,])[ \t]*proto=\"?([A-Za-z]+)", re.IGNORECASE)
_WITH_PORT: Final = re.compile(r"\[([^\]]*)\](?::.*)?|([^:]*):[^:]*")

_MAX_HOPS: Final = 32
"""Addresses looked at; a longer way is somebody's game."""


class Networks:
    """A set of networks. Immutable.

    Args:
        networks: Addresses and CIDR networks.
        path: Key path for the error.

    Raises:
        ConfigurationError: One is neither.
    """

    __slots__ = ("_networks",)

    def __init__(self, networks: Sequence[str], path: str) -> None:
        self._networks: Final = tuple(_network(text, f"{path}[{index}]") for index, text in enumerate(networks))

    def __bool__(self) -> bool:
        return bool(self._networks)

    def __contains__(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


def visitor_of(head: Opening, peer: str, trusted: Networks) -> Address | None:
    """The visitor's address; None when nobody knows it.

    Args:
        head: As it was forwarded.
        peer: Of the connection, where this is the server; empty elsewhere.
        trusted: Proxies that may say for whom they ask.
    """
    if isinstance(head, TcpOpen):
        return _address(head.peer or peer)
    hops = _hops(head.headers if isinstance(head, HttpRequest) else head.metadata) or [peer]
    last = None
    for hop in hops[: -_MAX_HOPS - 1 : -1]:
        address = _address(hop)
        if address is None:
            break  # whoever wrote this does not know for whom it asks
        last = address
        if address not in trusted:
            break
    return last


def scheme_of(head: HttpRequest) -> bytes:
    """``http`` or ``https``: what the visitor used, as far as it is known; ``http`` where it is not."""
    for name, value in reversed(list(zip(head.headers[::2], head.headers[1::2], strict=False))):
        if name.lower() == b"x-forwarded-proto":
            return b"https" if value.strip().lower() in (b"https", b"wss") else b"http"
        if name.lower() == b"forwarded" and (found := _PROTO.search(value)) is not None:
            return b"https" if found[1].lower() == b"https" else b"http"
    return b"http"


def _hops(headers: Headers) -> list[str]:
    names = [name.lower() for name in headers[::2]]
    values = headers[1::2]
    listed = [value for name, value in zip(names, values, strict=False) if name == b"x-forwarded-for"]
    if listed:
        return _texts(b",".join(listed).split(b","))
    forwarded = [value for name, value in zip(names, values, strict=False) if name == b"forwarded"]
    return _texts(_FOR.findall(b",".join(forwarded)))


def _texts(nodes: Iterable[bytes]) -> list[str]:
    return [node.strip(b' \t"').decode("ascii", "replace") for node in nodes]


def _address(text: str) -> Address | None:
    with_port = _WITH_PORT.fullmatch(text)
    if with_port is not None:
        text = with_port[1] or with_port[2] or ""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # What a socket that listens on both makes of an IPv4 visitor.
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped


def _network(text: str, path: str) -> _Network:
    try:
        return ip_network(text, strict=False)
    except ValueError as error:
        raise ConfigurationError(
            'expected an IP address or a CIDR network such as "10.0.0.0/8"', key_path=path
        ) from error
