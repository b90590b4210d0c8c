"""Whether an address is this machine's."""

from __future__ import annotations

import socket

__all__ = ["is_local_address"]


def is_local_address(address: str) -> bool:
    """Whether an interface of this machine has ``address``, an IP address. Asks the system, and sends nothing.

    What can be bound to is local. Systems that are told to bind to foreign addresses
    (``net.ipv4.ip_nonlocal_bind``) take every address for local.
    """
    try:
        [(family, kind, _, _, at), *_] = socket.getaddrinfo(
            address, 0, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST
        )
        with socket.socket(family, kind) as bound:
            bound.bind(at)
    except OSError:
        return False
    return True
