"""Proxies between a client and its servers: which one leads to which server.

What is configured, in this order:

1. A server on this machine is never reached through a proxy.
2. ``proxy = "none"``: none is. A URL: all are, through that.
3. Otherwise the environment decides. Where a variable comes in both spellings the one in small letters counts.
   ``NO_PROXY`` lists what is reached without: names, which stand for what is below them too, with or without a leading
   dot; addresses and networks; any of these with a port; ``*`` for everything.
   Servers with TLS: ``HTTPS_PROXY``, then ``ALL_PROXY``. Others: ``HTTPS_PROXY``, ``HTTP_PROXY``, then ``ALL_PROXY``;
   the first of these leads the way, as every proxy is asked with CONNECT.

The libraries below have rules of their own, which differ. Neither knows ``ALL_PROXY``. gRPC knows no names in capitals,
and no ``*`` in ``NO_PROXY``, but networks; websockets knows capitals and ``*``, but no networks. Each has variables of
its own. So neither is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from ipaddress import ip_address, ip_network
from typing import Final
from urllib.parse import SplitResult, quote, unquote, urlsplit

import msgspec

from tunnel.domain.configuration.addresses import authority
from tunnel.domain.configuration.mistakes import mistake
from tunnel.domain.configuration.secret import Secret
from tunnel.domain.configuration.tls import is_loopback
from tunnel.domain.errors import ConfigurationError
from tunnel.domain.rules.hosts import is_host_name, normal_ipv6

__all__ = ["NO_PROXY", "PROXIED_SCHEMES", "Proxy", "parse_proxy", "proxy_towards"]

NO_PROXY: Final = "none"
"""The setting for none."""

PROXIED_SCHEMES: Final = frozenset({"grpc", "grpcs", "ws", "wss"})
"""Of servers that a proxy may lead to."""

_EXPECTED: Final = (
    '"none", or a URL "http://HOST:PORT" or "socks5://HOST:PORT", with "USER:PASSWORD@" before HOST if asked'
)
_SCHEMES: Final = {"http": "http", "socks5": "socks5", "socks5h": "socks5"}
_DEFAULT_PORTS: Final = {"http": 80, "socks5": 1080}
_WITH_TLS: Final = frozenset({"grpcs", "wss"})


class Proxy(msgspec.Struct, frozen=True, kw_only=True):
    """A proxy that opens connections for others.

    Args:
        scheme: ``http``: asked with CONNECT; ``socks5``: which looks names up itself.
        host: Name or address, IPv6 without brackets.
        port: Its port.
        user: Who asks; None: nobody in particular.
        password: That of ``user``.
    """

    scheme: str
    host: str
    port: int
    user: Secret | None = None
    password: Secret | None = None

    @property
    def authority(self) -> str:
        """``HOST:PORT``, which may be shown."""
        return authority(self.host, self.port)

    def revealed_url(self) -> str:
        """Its URL, secrets included; never to be shown."""
        credentials = ""
        if self.user is not None:
            password = "" if self.password is None else self.password.reveal()
            credentials = f"{quote(self.user.reveal(), safe='')}:{quote(password, safe='')}@"
        # Libraries tell proxies that look names up by an h.
        scheme = "socks5h" if self.scheme == "socks5" else self.scheme
        return f"{scheme}://{credentials}{self.authority}"


def parse_proxy(text: str, path: str) -> Proxy:
    """Take the URL of a proxy apart; without a scheme it is one of ``http``.

    Raises:
        ConfigurationError: This is none. What was given is not repeated, as it may hold a password.
    """
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        scheme, port = _SCHEMES.get(parts.scheme), parts.port
        user = None if parts.username is None else unquote(parts.username, errors="strict")
        password = None if parts.password is None else unquote(parts.password, errors="strict")
    except ValueError:
        raise mistake(path, _EXPECTED) from None
    host = parts.hostname
    if (
        scheme is None
        or not _is_host(host)
        or port == 0
        or _has_more(parts)
        or not (text.isascii() and text.isprintable())
    ):
        raise mistake(path, _EXPECTED)
    if user is not None and not _is_credential(user, password):
        raise mistake(path, f"{_EXPECTED}; of USER and PASSWORD only the latter may be empty, and only it hold a colon")
    assert host is not None
    return Proxy(
        scheme=scheme,
        host=host,
        port=port or _DEFAULT_PORTS[scheme],
        user=None if user is None else Secret(user),
        password=None if password is None else Secret(password),
    )


def proxy_towards(
    scheme: str, host: str, port: int, *, setting: Secret | None, environment: Mapping[str, str]
) -> Proxy | None:
    """The proxy through which a server is reached; None: it is reached directly.

    Args:
        scheme: Of the server: ``grpc``, ``grpcs``, ``ws`` or ``wss``.
        host: Name or address, IPv6 without brackets.
        port: The server's.
        setting: As configured; None: the environment decides.
        environment: Variables by name.

    Raises:
        ConfigurationError: The URL of a proxy is none, or names one that this transport cannot use, or one that needs
            a package which is not installed.
    """
    if is_loopback(host):
        return None
    if setting is not None:
        text = setting.reveal()
        proxy = None if text == NO_PROXY else parse_proxy(text, "proxy")
        where = ""
    else:
        name, text = _of_environment(scheme, environment)
        if not text or _is_excepted(host, port, _variable("no_proxy", environment)[1]):
            return None
        where = f"the environment variable {name}: "
        try:
            proxy = parse_proxy(text, "proxy")
        except ConfigurationError:
            raise ConfigurationError(f"{where}expected {_EXPECTED.partition(', or ')[2]}", key_path="proxy") from None
    if proxy is not None and proxy.scheme == "socks5" and scheme.startswith("grpc"):
        raise ConfigurationError(
            f'{where}expected a proxy of "http://" for "{scheme}://{host}": gRPC does not speak SOCKS', key_path="proxy"
        )
    if proxy is not None and proxy.scheme == "socks5" and find_spec("python_socks") is None:
        raise ConfigurationError(
            f"{where}SOCKS needs the package python-socks, which is not installed; pip install 'hextunnel[socks]'",
            key_path="proxy",
        )
    return proxy


def _is_host(host: str | None) -> bool:
    if not host:
        return False
    return normal_ipv6(f"[{host}]") is not None if ":" in host else is_host_name(host)


def _has_more(parts: SplitResult) -> bool:
    return parts.path not in ("", "/") or bool(parts.query or parts.fragment) or parts.netloc.endswith(":")


def _is_credential(user: str, password: str | None) -> bool:
    """Whether both fit into a header field, as Basic has them (RFC 7617 section 2)."""
    return bool(user) and ":" not in user and user.isprintable() and (password or "").isprintable()


def _of_environment(scheme: str, environment: Mapping[str, str]) -> tuple[str, str]:
    plain = () if scheme in _WITH_TLS else ("http_proxy",)
    for name in ("https_proxy", *plain, "all_proxy"):
        found, value = _variable(name, environment)
        if value:
            return found, value
    return "", ""


def _variable(name: str, environment: Mapping[str, str]) -> tuple[str, str]:
    """The spelling in which it is set, and its value; one in small letters that is empty means none."""
    if name in environment:
        return name, environment[name].strip()
    return name.upper(), environment.get(name.upper(), "").strip()


def _is_excepted(host: str, port: int, listed: str) -> bool:
    return any(_is_same(host, port, each) for each in listed.replace(",", " ").split())


def _is_same(host: str, port: int, listed: str) -> bool:
    if listed == "*":
        return True
    name, colon, number = listed.rpartition(":")
    if colon and number.isdigit() and (":" not in name or name.endswith("]")):
        if int(number) != port:
            return False
        listed = name
    listed = listed.strip("[]").lower()
    host = host.lower().rstrip(".")
    try:
        address = ip_address(host)
    except ValueError:
        name = listed.removeprefix("*").strip(".")
        return bool(name) and (host == name or host.endswith(f".{name}"))
    try:
        return address in ip_network(listed, strict=False)
    except ValueError:
        return False
