"""Having the operating system find out that a peer is gone which said nothing when it went."""

from __future__ import annotations

import socket
from typing import Final

__all__ = ["keep_alive"]

_OPTIONS: Final = {"TCP_KEEPIDLE": 60, "TCP_KEEPALIVE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}
"""Seconds of silence before the first probe (``TCP_KEEPALIVE`` on macOS), between probes, and probes without answer
after which the peer is gone: two minutes in all, where the system's own settings take two hours."""


def keep_alive(sock: socket.socket) -> None:
    """Have the peer of a connection asked for a sign of life while it is silent.

    Without it, a visitor whose machine or network is gone is waited for until something is to be sent to it, and an
    answer that does not come holds its conversation for ever. Set on a socket that listens it holds for the connections
    accepted there, and costs nothing for each.

    Args:
        sock: Of TCP.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _OPTIONS.items():
        option = getattr(socket, name, None)
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
