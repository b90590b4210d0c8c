"""A socket to accept connections on."""

from __future__ import annotations

import os
import socket
from typing import Final

from tunnel.domain.configuration.addresses import authority, parse_listen
from tunnel.domain.errors import ConfigurationError, ListenError

__all__ = ["BACKLOG_CONNECTIONS", "address_of", "listening_socket"]

BACKLOG_CONNECTIONS: Final = 1024
"""Connections the kernel holds ready while we are busy; what comes beyond is the visitor's to try again."""


def listening_socket(listen: str) -> socket.socket:
    """Bind and listen.

    Args:
        listen: ``HOST:PORT``; of a name's addresses one is taken, IPv4 first.

    Raises:
        ListenError: The address cannot be had.
    """
    try:
        host, port = parse_listen(listen)
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, _, _, address = min(found, key=lambda info: info[0] != socket.AF_INET)
        listening = socket.socket(family, kind, socket.IPPROTO_TCP)
    except (ConfigurationError, OSError) as exc:
        raise ListenError(listen, str(exc)) from exc
    try:
        if os.name == "posix":  # elsewhere it lets another process take the address away
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG_CONNECTIONS)
        listening.setblocking(False)
    except OSError as exc:
        listening.close()
        raise ListenError(listen, str(exc)) from exc
    return listening


def address_of(listening: socket.socket) -> str:
    """``HOST:PORT`` with the real port."""
    host, port = listening.getsockname()[:2]
    return authority(host, port)
