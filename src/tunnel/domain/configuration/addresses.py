"""Where a listener listens, and where a client finds its server."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final, NamedTuple
from urllib.parse import SplitResult, urlsplit

from tunnel.domain.configuration.mistakes import mistake
from tunnel.domain.configuration.tls import is_loopback
from tunnel.domain.rules.hosts import is_host_name, normal_ipv6

__all__ = [
    "BUILT_IN_SCHEMES",
    "ListenAddress",
    "ServerUrl",
    "authority",
    "check_origin",
    "check_scheme",
    "parse_listen",
    "parse_server_url",
    "split_url",
]

BUILT_IN_SCHEMES: Final = frozenset({"grpc", "grpcs", "ws", "wss", "memory"})

_LISTEN: Final = 'an address "HOST:PORT" such as "127.0.0.1:7000" or "[::1]:7000"'
_SERVER: Final = 'a URL such as "grpc://127.0.0.1:7000", "ws://127.0.0.1:7001" or "memory://NAME"'
_NO_TRANSPORTS: Final = frozenset({"http", "https", "tcp", "unix"})
"""Schemes of targets, which are easily mistaken for those of servers."""
_LINKS_OVER: Final = {"http": "ws", "https": "wss"}
_NO_SCHEME: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?(/.*)?")
_DEFAULT_PORTS: Final = {"ws": 80, "wss": 443}
_HOST_PORT: Final = re.compile(r"(\[[^\[\]]+\]|[^\[\]:]+):([0-9]{1,5})", re.ASCII)
_UNPRINTABLE: Final = re.compile(r"[\x00-\x20\x7f-\x9f]")


class ListenAddress(NamedTuple):
    """A TCP address to listen on.

    Args:
        host: Name or address; IPv6 without brackets.
        port: 0 lets the system choose.
    """

    host: str
    port: int

    def __str__(self) -> str:
        return authority(self.host, self.port)


class ServerUrl(NamedTuple):
    """A server's address as a client dials it.

    Args:
        scheme: Of the transport: ``grpc``, ``grpcs``, ``ws``, ``wss``, ``memory`` or a plug-in's.
        host: Name or address, IPv6 without brackets; for ``memory`` the name of the transport, for plug-ins all that
            follows the scheme.
        port: 0 for ``memory`` and plug-ins.
        path: Only for ``ws`` and ``wss``, at least ``/``; else empty.
    """

    scheme: str
    host: str
    port: int = 0
    path: str = ""


def authority(host: str, port: int) -> str:
    """``host:port``, with IPv6 in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_listen(address: str, path: str = "") -> ListenAddress:
    """Take ``HOST:PORT`` or ``[IPV6]:PORT`` apart.

    Args:
        address: As configured.
        path: Key path for the error.

    Raises:
        ConfigurationError: This is no such address.
    """
    found = _HOST_PORT.fullmatch(address)
    if found is None or int(found[2]) > 65535:
        raise mistake(path, _LISTEN, got=address)
    host = found[1]
    if host[0] == "[":
        if normal_ipv6(host) is None:
            raise mistake(path, _LISTEN, got=address)
        host = host[1:-1]
    elif not is_host_name(host):
        raise mistake(path, _LISTEN, got=address)
    return ListenAddress(host, int(found[2]))


def parse_server_url(url: str, path: str = "") -> ServerUrl:
    """Take the URL of a server apart.

    Args:
        url: ``grpc://HOST:PORT``, ``ws://HOST[:PORT][/PATH]``, ``memory://NAME``, with TLS ``grpcs://`` and
            ``wss://``, or one with another scheme, for a transport that brings its own; all after the scheme is that
            transport's business.
        path: Key path for the error.

    Raises:
        ConfigurationError: This is no such URL.
    """
    meant = _meant(url)
    parts = split_url(url, path, expected=_SERVER, meant=meant)
    if parts.scheme in _NO_TRANSPORTS:
        raise mistake(path, _SERVER, got=url, meant=meant)
    if parts.scheme not in BUILT_IN_SCHEMES:
        return ServerUrl(parts.scheme, url.partition("://")[2])
    default_port = _DEFAULT_PORTS.get(parts.scheme)
    if parts.query or parts.fragment or (parts.path and default_port is None):
        raise mistake(path, "a URL without query and fragment, and with a path for ws:// and wss:// only", got=url)
    if parts.scheme == "memory":
        if not parts.netloc:
            raise mistake(path, _SERVER, got=url)
        return ServerUrl("memory", parts.netloc)
    port = default_port if parts.port is None else parts.port
    if not parts.hostname or not port:
        raise mistake(path, f"a host and a port, {_SERVER}", got=url)
    return ServerUrl(parts.scheme, parts.hostname, port, (parts.path or "/") if default_port else "")


def check_scheme(url: str, path: str, installed: Collection[str]) -> None:
    """Refuse the URL of a server that no transport can dial.

    Args:
        url: Of a server.
        path: Key path for the error.
        installed: Schemes of plug-ins.

    Raises:
        ConfigurationError: Nobody knows its scheme.
    """
    if parse_server_url(url, path).scheme not in BUILT_IN_SCHEMES | frozenset(installed):
        raise mistake(path, _SERVER, got=url)


def _meant(url: str) -> str:
    """The URL of a server that ``url`` nearly is: one of the web, or one without a scheme; else empty."""
    scheme, separator, rest = url.partition("://")
    if separator:
        return f"{_LINKS_OVER[scheme]}://{rest}" if scheme in _LINKS_OVER else ""
    found = _NO_SCHEME.fullmatch(url)
    if found is None:
        return ""
    host, port, path = found.groups()
    secure = "" if is_loopback(host.strip("[]")) else "s"
    return f"{'grpc' if port and not path else 'ws'}{secure}://{url}"


def split_url(url: str, path: str, *, expected: str, meant: str = "") -> SplitResult:
    """Split a URL that has a scheme; refuse broken ones and credentials, which are not repeated.

    Args:
        url: As configured.
        path: Key path for the error.
        expected: What the error says was.
        meant: What it asks whether that was meant; empty: nothing.

    Raises:
        ConfigurationError: Saying that ``expected`` was expected at ``path``.
    """
    if "@" in url:
        raise mistake(path, f"{expected}, without user name and password")
    try:
        parts = urlsplit(url)
        well_formed = _well_formed(parts)
    except ValueError:
        well_formed = False
    if not well_formed or _UNPRINTABLE.search(url) or "://" not in url:
        raise mistake(path, expected, got=url, meant=meant)
    return parts


def _well_formed(parts: SplitResult) -> bool:
    if parts.netloc.endswith(":") or (parts.port or 0) > 65535:
        return False
    host = parts.hostname
    if not host or parts.scheme == "memory":
        return True
    return normal_ipv6(f"[{host}]") is not None if ":" in host else is_host_name(host)


def check_origin(url: str, path: str) -> None:
    """Refuse whatever is not ``http(s)://HOST[:PORT]``.

    Raises:
        ConfigurationError: Always naming ``path``.
    """
    expected = 'a URL such as "https://edge.example.test", without a path'
    parts = split_url(url, path, expected=expected)
    proper = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    if not proper or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise mistake(path, expected, got=url)
