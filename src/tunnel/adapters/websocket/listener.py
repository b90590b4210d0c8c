"""The listening side of the WebSocket transport."""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
from collections.abc import Callable
from typing import Final, cast

import anyio
from websockets.asyncio.server import ServerConnection, serve

from tunnel.adapters.websocket.address import format_address, parse_address
from tunnel.adapters.websocket.connection import Flow, ServerFlow, connection_options, quiet_logger, tls_options
from tunnel.adapters.websocket.link import WebSocketLink
from tunnel.domain.certificate import Certificate, parse_certificate
from tunnel.domain.errors import ListenError
from tunnel.domain.identity import PeerInfo
from tunnel.ports.transport import LinkService, Listener
from tunnel.sockets.door import ACCEPTS_AT_ONCE

__all__ = ["WebSocketListener", "certificate_of"]

HANDSHAKE_S: Final = 10.0
"""For TLS, and again for the whole opening handshake, so that silent connections do not pile up."""

BACKLOG: Final = 512
"""Connections that the operating system holds until they are accepted: a fleet reconnects at once."""


class WebSocketListener(Listener):
    """Accepts links at ``ws://host:port``, or with TLS at ``wss://host:port``, under any path.

    Args:
        listen: ``host:port``, IPv6 in brackets. Port 0 takes a free one; a host name's first address is taken.
        ssl_context: For TLS; None: plain text.
    """

    def __init__(self, listen: str, *, ssl_context: ssl.SSLContext | None = None) -> None:
        self._listen = listen
        self._ssl_context = ssl_context
        self._logger = quiet_logger("server")
        self._socket: socket.socket | None = None
        self._address = listen
        self._stopped = asyncio.Event()
        self._connections: set[ServerFlow] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> str:
        return self._address

    def bind(self) -> None:
        try:
            host, port = parse_address(self._listen)
            family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            self._socket = socket.create_server(address[:2], family=family, backlog=BACKLOG)
        except (OSError, ValueError) as exc:
            raise ListenError(self._listen, getattr(exc, "strerror", None) or str(exc)) from exc
        self._address = format_address(self._socket.getsockname())

    async def serve(self, service: LinkService, started: Callable[[], None]) -> None:
        if self._stopped.is_set():
            return
        if self._socket is None:
            self.bind()
        # From here on the socket is the server's to close.
        bound, self._socket = self._socket, None
        create_connection = functools.partial(ServerFlow, opened=self._opened, lost=self._connections.discard)
        server = await serve(
            functools.partial(self._serve_connection, service),
            sock=bound,
            backlog=ACCEPTS_AT_ONCE,
            **connection_options(),
            **tls_options(self._ssl_context, handshake_s=HANDSHAKE_S),
            open_timeout=HANDSHAKE_S,
            server_header=None,
            logger=self._logger,
            create_connection=cast("type[ServerConnection]", create_connection),
        )
        assert bound is not None
        bound.listen(BACKLOG)
        try:
            started()
            await self._stopped.wait()
        finally:
            self._stopped.set()
            server.close(close_connections=False)
            for connection in list(self._connections):
                connection.wire.abort()
            for task in self._tasks:
                task.cancel()
            with anyio.CancelScope(shield=True):
                await server.wait_closed()

    def stop(self) -> None:
        self._stopped.set()
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _opened(self, connection: ServerFlow) -> None:
        self._connections.add(connection)
        if self._stopped.is_set():  # Accepted just before the socket was closed.
            connection.wire.abort()

    async def _serve_connection(self, service: LinkService, connection: ServerConnection) -> None:
        assert isinstance(connection, ServerFlow)
        scheme = "ws" if self._ssl_context is None else "wss"
        peer = PeerInfo(scheme, format_address(connection.remote_address), certificate_of(connection))
        link = WebSocketLink(connection, peer)
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._tasks.add(task)
        try:
            # What this raises is logged by the library, with the logger it was given.
            await service.proxy(link)
            await link.aclose()
        finally:
            self._tasks.discard(task)
            link.abort()


def certificate_of(connection: Flow) -> Certificate | None:
    """The certificate that was verified of the client, if it was asked for one."""
    tls = connection.wire.get_extra_info("ssl_object")
    der = tls.getpeercert(binary_form=True) if tls is not None else None
    return parse_certificate(der) if der else None
