"""Where connections come in: accepting them, until no more are wanted."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
from abc import abstractmethod
from collections.abc import Callable
from typing import Final, Protocol

from tunnel.sockets.tls_door import TlsDoor, tls_options

__all__ = ["ACCEPTS_AT_ONCE", "Door", "open_door"]

ACCEPTS_AT_ONCE: Final = 16
"""Connections that asyncio takes in one go, which it makes of the backlog it is given. Out of file descriptors it logs
a traceback and sets a timer for each of them, every second: so it is given few, and the socket its backlog again."""

_ACCEPT_ROUNDS: Final = 3
"""Rounds of the event loop in which a connection that was just accepted gets its protocol, and can be found."""


class Door(Protocol):
    """Accepts connections, and gives each a protocol, from when it is made."""

    @abstractmethod
    def close(self) -> None:
        """Accept no more, and close the socket. Again does nothing."""

    @abstractmethod
    async def cut(self) -> None:
        """Accept no more. When this returns, what was accepted has its protocol or is closed."""


async def open_door(
    listening: socket.socket,
    protocol: Callable[[], asyncio.BaseProtocol],
    *,
    backlog_connections: int,
    logger: logging.Logger,
    ssl_context: ssl.SSLContext | None = None,
) -> Door:
    """Begin to accept connections. Cancelled, none are.

    Args:
        listening: Where they come in; does not block. Closed with the door.
        protocol: Makes the protocol of a connection, which from then on answers for it.
        backlog_connections: Connections that the kernel holds until they are accepted.
        logger: Is told when connections cannot be accepted.
        ssl_context: For TLS; None: plain text.
    """
    door: Door
    if ssl_context is not None and os.name != "nt":  # whose event loop tells nothing of sockets
        door = TlsDoor(listening, protocol, ssl_context, logger=logger)
    else:
        tls = {} if ssl_context is None else tls_options(ssl_context)
        server = await asyncio.get_running_loop().create_server(
            protocol, sock=listening, backlog=ACCEPTS_AT_ONCE, start_serving=False, **tls
        )
        door = _ServerDoor(server)
        try:
            await server.start_serving()
        except BaseException:
            door.close()
            raise
    listening.listen(backlog_connections)
    return door


class _ServerDoor(Door):
    """The event loop's own server."""

    def __init__(self, server: asyncio.Server) -> None:
        self._server = server

    def close(self) -> None:
        self._server.close()

    async def cut(self) -> None:
        self.close()
        for _ in range(_ACCEPT_ROUNDS):
            await asyncio.sleep(0)
