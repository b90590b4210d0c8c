"""The HTTP ingress as a listener of its own, on uvicorn."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable, Generator
from functools import partial
from typing import Final, Self, cast

import uvicorn
from anyio import CancelScope

from tunnel.adapters.http.ingress_protocol import IngressProtocol
from tunnel.adapters.http.ingress_service import IngressService
from tunnel.adapters.http.ingress_types import IngressSettings
from tunnel.adapters.http.ingress_websocket import WebSocketVisitor
from tunnel.ports.ingress import Ingress
from tunnel.ports.target import ProxyTarget
from tunnel.sockets.door import Door, open_door
from tunnel.sockets.listening import address_of, listening_socket
from tunnel.sockets.task_end import end_tasks

__all__ = ["UvicornIngress"]

_logger: Final = logging.getLogger("tunnel.ingress")

_BACKLOG_CONNECTIONS: Final = 2048
"""Connections the kernel holds ready; uvicorn's own default."""

_KEEPALIVE_S: Final = 5
"""Seconds an idle connection is kept; uvicorn's own default. Pools before us should give up earlier."""

_RELEASE_S: Final = 5.0
"""Seconds that cancelled targets have to return before ``serve`` gives up on them."""

_FAREWELL_S: Final = 0.5
"""Seconds that WebSocket conversations which outlast a drain have to close, once they are told to."""

_TICK_S: Final = 0.05
"""How often a drain looks whether the last connection has gone."""

_DEFAULTS: Final = IngressSettings()


class UvicornIngress(Ingress):
    """Listens for HTTP/1.1, in TLS if told so, and gives each request to the target as a ``Stream``.

    Runs on asyncio or uvloop only. Leaves signals and the configuration of logging alone.

    Args:
        listen: ``host:port``; ``[::1]:80`` for IPv6, port 0 for any free one, no host for all addresses. Of a name's
            addresses one is taken, IPv4 first.
        name: Its name in logs and ready lines.
        settings: Limits on requests, and what is told of the visitor.
        ssl_context: For TLS; None: plain text.
    """

    def __init__(
        self,
        listen: str,
        *,
        name: str = "http",
        settings: IngressSettings = _DEFAULTS,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._listen = listen
        self._name = name
        self._settings = settings
        self._ssl_context = ssl_context
        self._socket: socket.socket | None = None
        self._address = listen
        self._server: _Server | None = None
        self._drained = False

    @property
    def name(self) -> str:
        return self._name

    @property
    def address(self) -> str:
        return self._address

    def bind(self) -> None:
        if self._socket is None:
            self._socket = listening_socket(self._listen, backlog_connections=_BACKLOG_CONNECTIONS)
            self._address = address_of(self._socket)

    async def serve(self, target: ProxyTarget, started: Callable[[], None]) -> None:
        if self._drained:
            return
        self.bind()
        assert self._socket is not None
        server = self._server = _Server(IngressService(target, self._settings), started, self._ssl_context)
        try:
            await server.serve(sockets=[self._socket])
        finally:
            with CancelScope(shield=True):
                await server.cut()
            self._socket.close()

    def follow(self, successor: Self) -> None:
        self._settings = successor._settings
        if self._server is not None:
            self._server.service.settings = self._settings

    def drain(self, grace_s: float) -> None:
        self._drained = True
        if self._server is not None:
            self._server.drain(grace_s)
        elif self._socket is not None:
            self._socket.close()


class _Server(uvicorn.Server):
    """uvicorn's server without its signals, its ticking, and its way to shut down, which leaves connections open."""

    def __init__(
        self, service: IngressService, accepting: Callable[[], None], ssl_context: ssl.SSLContext | None
    ) -> None:
        self.service = service
        self._ssl_context = ssl_context
        super().__init__(
            uvicorn.Config(
                _no_application,
                http=IngressProtocol,
                ws="none",
                loop="none",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                proxy_headers=False,
                server_header=False,
                date_header=False,
                timeout_keep_alive=_KEEPALIVE_S,
            )
        )
        self._accepting = accepting
        self._leaving = asyncio.Event()
        self._doors: list[Door] = []
        self._deadline: float | None = None

    def drain(self, grace_s: float) -> None:
        """Begin to shut down, or bring forward when a shutdown that has begun cuts what is left."""
        deadline = asyncio.get_running_loop().time() + grace_s
        self._deadline = deadline if self._deadline is None else min(deadline, self._deadline)
        self.should_exit = True
        self._leaving.set()
        for door in self._doors:
            door.close()  # whoever comes from now on is refused, not served by what is leaving

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        protocol = partial(
            IngressProtocol, self.config, server_state=self.server_state, app_state={}, service=self.service
        )
        self._doors = [
            await open_door(
                each,
                protocol,
                backlog_connections=_BACKLOG_CONNECTIONS,
                logger=_logger,
                ssl_context=self._ssl_context,
            )
            for each in sockets or ()
        ]
        self.started = True
        self._accepting()

    async def main_loop(self) -> None:
        await self._leaving.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for door in self._doors:
            door.close()  # one that was opened after all was told to leave
        state = self.server_state
        for connection in list(state.connections):
            connection.shutdown()
        assert self._deadline is not None
        time = asyncio.get_running_loop().time
        # uvicorn's state tells nobody when it changes.
        while (state.connections or state.tasks) and time() < self._deadline:  # noqa: ASYNC110
            await asyncio.sleep(_TICK_S)
        await self._say_farewell()

    async def _say_farewell(self) -> None:
        """Have WebSocket conversations that are still there close, and wait a moment for that."""
        connections = cast("set[object]", self.server_state.connections)
        visitors = [each for each in connections if isinstance(each, WebSocketVisitor)]
        for visitor in visitors:
            visitor.go_away()
        time = asyncio.get_running_loop().time
        until = time() + _FAREWELL_S
        while not connections.isdisjoint(visitors) and time() < until:  # noqa: ASYNC110
            await asyncio.sleep(_TICK_S)

    async def cut(self) -> None:
        """Drop every connection, cancel every exchange, and wait until they have been released."""
        for door in self._doors:
            await door.cut()
        state = self.server_state
        for connection in list(state.connections):
            connection.transport.abort()
        if stuck := await end_tasks(state.tasks, within_s=_RELEASE_S):
            _logger.warning("%d exchanges do not return though they were cancelled", stuck)


async def _no_application(scope: object, receive: object, send: object) -> None:
    """In place of the ASGI application, which our connections have no use for."""
    raise AssertionError("connections of our own call no ASGI application")
