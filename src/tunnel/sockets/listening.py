"""Sockets that connections come in at."""

from __future__ import annotations

import os
import socket

from tunnel.domain.configuration.addresses import authority, parse_listen
from tunnel.domain.errors import ConfigurationError, ListenError
from tunnel.sockets.keepalive import keep_alive

__all__ = ["address_of", "listening_socket"]


def listening_socket(listen: str, *, backlog_connections: int) -> socket.socket:
    """Bind and listen.

    Args:
        listen: ``HOST:PORT``; ``[::1]:80`` for IPv6, port 0 for any free one, no host for all addresses. Of a name's
            addresses one is taken, IPv4 first.
        backlog_connections: Connections that the kernel holds until they are accepted.

    Returns:
        The socket, which does not block. Connections that are accepted there are kept alive.

    Raises:
        ListenError: This is no such address, or it cannot be had.
    """
    try:
        anywhere = listen[:1] == ":"
        host, port = parse_listen(f"localhost{listen}" if anywhere else listen)
        found = socket.getaddrinfo(None if anywhere else host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, _, _, address = min(found, key=lambda info: info[0] != socket.AF_INET)
        # With the protocol number given, asyncio sees TCP in accepted sockets and sets TCP_NODELAY on them.
        listening = socket.socket(family, kind, socket.IPPROTO_TCP)
    except (ConfigurationError, OSError) as exc:
        raise ListenError(listen, str(exc)) from exc
    try:
        if os.name == "posix":  # elsewhere it lets another process take the address away
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        keep_alive(listening)  # so for what is accepted there, too
        listening.bind(address)
        listening.listen(backlog_connections)
        listening.setblocking(False)
    except OSError as exc:
        listening.close()
        raise ListenError(listen, str(exc)) from exc
    return listening


def address_of(listening: socket.socket) -> str:
    """``HOST:PORT`` with the real port."""
    host, port = listening.getsockname()[:2]
    return authority(host, port)
