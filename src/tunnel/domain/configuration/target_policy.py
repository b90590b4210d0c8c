"""What a client lets its server make it dial.

The server names targets in the snapshots it pushes; the client dials only what its own ``allow_targets`` permits. A
pattern is one of

===============================  =================================================================================
``127.0.0.0/8``, ``[fd00::]/8``  networks: permit by the address that is dialled, whatever name led to it
``10.0.0.7``, ``[::1]``          single addresses: likewise
``db.internal.test``             a name: permits whatever that name resolves to
``*.internal.test``              names below a suffix, one or more labels, never the bare domain: likewise
``unix:/run/app.sock``           exactly that socket; likewise ``asgi:...``, ``wsgi:...`` and ``app:...``, literally
===============================  =================================================================================

All but the last may end in ``:PORT``, which restricts the port. IPv6 is written in brackets when a port follows; an
IPv4 address inside IPv6 (``::ffff:127.0.0.1``) counts as the IPv4 address.

Two checks use it. ``check`` looks at a snapshot, before anything is resolved: a name that matches no pattern is let
pass if a network or address pattern fits the port, since it may resolve into it (``localhost`` is such a name).
``permits`` decides when dialling, with the address that is about to be dialled; nothing gets past it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, NamedTuple

from tunnel.domain.configuration.mistakes import mistake, shown
from tunnel.domain.configuration.target_url import is_in_process, parse_target
from tunnel.domain.errors import ConfigurationError
from tunnel.domain.rules.hosts import is_host_name

__all__ = ["TargetPolicy"]

_LITERAL: Final = ("unix:/", "asgi:", "wsgi:", "app:")
_PATTERN: Final = (
    'a network, address, host or "*.suffix" with an optional port, or "unix:/PATH", '
    'such as "127.0.0.0/8" or "*.internal.test:443"'
)
_BRACKETED: Final = re.compile(r"\[([0-9A-Fa-f:.]+)(/[0-9]{1,3})?\](/[0-9]{1,3})?(?::([0-9]{1,5}))?")
_PLAIN: Final = re.compile(r"([^:\[\]]+)(?::([0-9]{1,5}))?")


class _Network(NamedTuple):
    network: IPv4Network | IPv6Network
    port: int | None

    def permits(self, address: IPv4Address | IPv6Address, port: int) -> bool:
        return self.port in (None, port) and address in self.network


class _Name(NamedTuple):
    name: str
    port: int | None

    def permits(self, host: str, port: int) -> bool:
        fits = host.endswith(self.name[1:]) if self.name[0] == "*" else host == self.name
        return fits and self.port in (None, port)


class TargetPolicy:
    """Decides what may be dialled. Immutable.

    Args:
        patterns: As in ``allow_targets``; none: nothing is permitted.
        path: Key path of the list, for errors.

    Raises:
        ConfigurationError: A pattern is malformed; names ``allow_targets[N]``.
    """

    __slots__ = ("_literals", "_names", "_networks")

    def __init__(self, patterns: Iterable[str], path: str = "allow_targets") -> None:
        parsed = [_parse(pattern, f"{path}[{index}]") for index, pattern in enumerate(patterns)]
        self._networks: Final = tuple(each for each in parsed if isinstance(each, _Network))
        self._names: Final = tuple(each for each in parsed if isinstance(each, _Name))
        self._literals: Final = frozenset(each for each in parsed if isinstance(each, str))

    @staticmethod
    def check_pattern(pattern: str, path: str) -> None:
        """Refuse a malformed pattern.

        Raises:
            ConfigurationError: Naming ``path``.
        """
        _parse(pattern, path)

    def permits(self, host: str, port: int, address: str) -> bool:
        """Whether a connection may be made.

        Args:
            host: Name or address as the target has it, IPv6 without brackets.
            port: To be dialled.
            address: What ``host`` was resolved to and what is dialled next, an IP address.
        """
        dialled = _address(address)
        if dialled is None:
            return False
        if any(pattern.permits(dialled, port) for pattern in self._networks):
            return True
        return _address(host) is None and self._permits_name(host, port)

    def check(self, target: str, path: str = "") -> None:
        """Refuse a target of a snapshot that could never be permitted.

        Args:
            target: As in an upstream's ``targets``.
            path: Key path for the error.

        Raises:
            ConfigurationError: It is malformed, or ``allow_targets`` has nothing that could permit it.
        """
        if target in self._literals:
            return
        if target.startswith(_LITERAL):
            raise ConfigurationError(f"{shown(target)} must be listed literally in allow_targets", key_path=path)
        parsed = parse_target(target, path)
        if not self.may_permit(parsed.host, parsed.port):
            raise ConfigurationError(f"{shown(target)} is not permitted by allow_targets", key_path=path)

    def may_permit(self, host: str, port: int) -> bool:
        """Whether ``permits`` could say yes, as far as is known before a name is resolved.

        Args:
            host: Name or address, IPv6 without brackets.
            port: To be dialled.
        """
        address = _address(host)
        if address is not None:
            return any(pattern.permits(address, port) for pattern in self._networks)
        if self._permits_name(host, port):
            return True
        return any(pattern.port in (None, port) for pattern in self._networks)

    def _permits_name(self, host: str, port: int) -> bool:
        name = host.lower().removesuffix(".")
        return any(pattern.permits(name, port) for pattern in self._names)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _parse(pattern: str, path: str) -> _Network | _Name | str:
    if pattern.startswith(_LITERAL):
        if is_in_process(pattern):
            parse_target(pattern, path)
        return pattern
    if found := _BRACKETED.fullmatch(pattern):
        inside, inner_length, outer_length, port = found.groups()
        if not (inner_length and outer_length) and (network := _network(inside + (inner_length or outer_length or ""))):
            return _Network(network, _port(port, pattern, path))
    elif network := _network(pattern):
        return _Network(network, None)
    elif found := _PLAIN.fullmatch(pattern):
        host, port = found.groups()
        if network := _network(host):
            return _Network(network, _port(port, pattern, path))
        if is_host_name(host.removeprefix("*.")) and not _looks_like_address(host):
            return _Name(host.lower(), _port(port, pattern, path))
    raise mistake(path, _PATTERN, got=pattern, meant=_network_around(pattern))


def _network_around(text: str) -> str:
    """The network of ``10.0.0.1/8``, an address in it; empty for anything else."""
    try:
        return str(ip_network(text, strict=False))
    except ValueError:
        return ""


def _network(text: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(text)
    except ValueError:
        return None


def _looks_like_address(host: str) -> bool:
    """Digits at the end of a "name" can only be a mistyped address (WHATWG URL, ends-in-a-number checker)."""
    return host.rpartition(".")[2].isdigit()


def _port(port: str | None, pattern: str, path: str) -> int | None:
    if port is None:
        return None
    if not 1 <= int(port) <= 65535:
        raise mistake(path, "a port from 1 to 65535", got=pattern)
    return int(port)
