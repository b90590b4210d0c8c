"""Whether an address is one of this process's own entries, so that dialling it would go in a circle."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TypeAlias

from tunnel.domain.configuration import parse_listen

__all__ = ["OwnEntries"]

_Address: TypeAlias = IPv4Address | IPv6Address


class OwnEntries:
    """Knows an entry again by any address that leads to it.

    1. Of an address to be dialled, none at all (``0.0.0.0``, ``::``) stands for this machine, as systems take it.
    2. An entry that listens on one address is reached by that one.
    3. An entry that listens on all of them is reached by every address of an interface of this machine. Whether IPv6
       sockets take IPv4 as well depends on the system; here they are taken to.

    Args:
        addresses: Where the entries listen now, with real ports.
        is_local: Whether an address is one of this machine's.
    """

    def __init__(self, addresses: Callable[[], Iterable[str]], is_local: Callable[[str], bool]) -> None:
        self._addresses = addresses
        self._is_local = is_local

    def reached_by(self, address: str, port: int) -> bool:
        """Whether a connection to ``address``, an IP address, and ``port`` would come in at an entry."""
        dialled = _dialled(address)
        if dialled is None:
            return False
        for listen in self._addresses():
            here = parse_listen(listen)
            if here.port == port and self._leads(dialled, _plain(here.host)):
                return True
        return False

    def _leads(self, dialled: _Address, listening: _Address | None) -> bool:
        if listening is None:
            return False
        return self._is_local(str(dialled)) if listening.is_unspecified else dialled == listening


def _dialled(address: str) -> _Address | None:
    plain = _plain(address)
    if plain is None or not plain.is_unspecified:
        return plain
    return IPv4Address("127.0.0.1") if plain.version == 4 else IPv6Address("::1")


def _plain(address: str) -> _Address | None:
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found
