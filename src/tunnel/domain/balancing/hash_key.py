"""What in a request decides which requests belong together."""

from __future__ import annotations

import re
from enum import Enum
from typing import Final, NamedTuple, assert_never

from tunnel.domain.envelopes import HttpRequest, Opening, TcpOpen

__all__ = ["HashKey", "HashSource"]

_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""Names of fields and of cookies. Source: RFC 9110 section 5.6.2; RFC 6265 section 4.1.1."""

_FORWARDED_FOR: Final = re.compile(rb"(?:^|[;,])[ \t]*for=(\"[^\"]*\"|[^;,]*)", re.IGNORECASE)
"""The first ``for`` of a Forwarded field. Source: RFC 7239 section 4."""

_WITH_PORT: Final = re.compile(rb"\[([^\]]*)\](?::[^:]*)?|([^:]*):[^:]*")
"""``[IPV6]``, ``[IPV6]:PORT`` or ``IPV4:PORT``. An IPv6 address without brackets has no port."""

_UNKNOWN: Final = b"unknown"
"""Stands for a visitor without an address. Source: RFC 7239 section 6.2; common in X-Forwarded-For too."""


class HashSource(Enum):
    """Where the key of a request is found."""

    ADDRESS = "address"
    HEADER = "header"
    COOKIE = "cookie"


class HashKey(NamedTuple):
    """Says which requests belong together: those that have the same value in one place.

    Visitors can send any header and cookie, and so choose the key; it is no ground for trust.

    Args:
        source: Where to look.
        name: Of the header, in lower case, or of the cookie; empty for the address.
    """

    source: HashSource
    name: bytes = b""

    @classmethod
    def parse(cls, text: str) -> HashKey:
        """Read ``address``, ``header:NAME`` or ``cookie:NAME``.

        Raises:
            ValueError: It is none of these.
        """
        source, colon, name = text.partition(":")
        if text == HashSource.ADDRESS.value:
            return cls(HashSource.ADDRESS)
        if colon and _TOKEN.fullmatch(name):
            if source == HashSource.HEADER.value:
                return cls(HashSource.HEADER, name.lower().encode())
            if source == HashSource.COOKIE.value:
                return cls(HashSource.COOKIE, name.encode())
        raise ValueError(f"{text!r} is none of address, header:NAME, cookie:NAME")

    def of(self, head: Opening) -> bytes:
        """The key of a conversation; empty when it has none.

        The address is the visitor's, as the ingress recorded it: the first of X-Forwarded-For, else the first ``for``
        of Forwarded; without port. Of repeated headers the first counts, of repeated cookies too. A TCP conversation
        has only an address, that of the connection.
        """
        if isinstance(head, TcpOpen):
            return _without_port(head.peer.encode()) if self.source is HashSource.ADDRESS else b""
        if not isinstance(head, HttpRequest):
            return b""
        match self.source:
            case HashSource.ADDRESS:
                return _address(head)
            case HashSource.HEADER:
                return _first_field(head, self.name)
            case HashSource.COOKIE:
                return _cookie(head, self.name)
            case _:
                assert_never(self.source)


def _first_field(head: HttpRequest, name: bytes) -> bytes:
    headers = head.headers
    names = headers[::2]
    if name in names:  # as ingresses and most peers write it
        return headers[2 * names.index(name) + 1].strip(b" \t")
    for position, each in enumerate(names):
        if each.lower() == name:
            return headers[2 * position + 1].strip(b" \t")
    return b""


def _address(head: HttpRequest) -> bytes:
    node = _first_field(head, b"x-forwarded-for").partition(b",")[0].rstrip(b" \t")
    if not node:
        found = _FORWARDED_FOR.search(_first_field(head, b"forwarded"))
        node = found[1].strip(b'" \t') if found is not None else b""
    node = _without_port(node.lower())
    return b"" if node == _UNKNOWN else node


def _without_port(node: bytes) -> bytes:
    with_port = _WITH_PORT.fullmatch(node)
    return node if with_port is None else with_port[1] or with_port[2] or b""


def _cookie(head: HttpRequest, name: bytes) -> bytes:
    # HTTP/2 splits the field into one for each cookie (RFC 9113 section 8.2.3), so all of them are looked at.
    headers = head.headers
    for position, field in enumerate(headers[::2]):
        if field.lower() != b"cookie":
            continue
        for pair in headers[2 * position + 1].split(b";"):
            key, equals, value = pair.partition(b"=")
            if equals and key.strip(b" \t") == name:
                return value.strip(b" \t")
    return b""
