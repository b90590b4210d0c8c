"""The HTTP ingress as a listener of its own, on uvicorn."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import ssl
from collections.abc import Callable, Generator
from functools import partial
from typing import Final, Self, cast

import uvicorn
from anyio import CancelScope

from tunnel.adapters.http.ingress_protocol import IngressProtocol
from tunnel.adapters.http.ingress_service import IngressService
from tunnel.adapters.http.ingress_tls import TlsDoor, tls_options
from tunnel.adapters.http.ingress_types import IngressSettings
from tunnel.adapters.http.ingress_websocket import WebSocketVisitor
from tunnel.domain.errors import ListenError
from tunnel.ports.ingress import Ingress
from tunnel.ports.target import ProxyTarget

__all__ = ["UvicornIngress"]

_logger: Final = logging.getLogger("tunnel.ingress")

_BACKLOG_CONNECTIONS: Final = 2048
"""Connections the kernel holds ready; uvicorn's own default."""

_ACCEPTS_AT_ONCE: Final = 16
"""Connections that asyncio takes in one go, which it makes of the backlog it is given. Out of file descriptors it logs
a traceback and sets a timer for each of them, every second: so it is given few, and the socket its backlog again."""

_KEEPALIVE_S: Final = 5
"""Seconds an idle connection is kept; uvicorn's own default. Pools before us should give up earlier."""

_ACCEPT_ROUNDS: Final = 3
"""Rounds of the event loop in which a connection that was just accepted gets its protocol, and can be found."""

_RELEASE_S: Final = 5.0
"""Seconds that cancelled targets have to return before ``serve`` gives up on them."""

_FAREWELL_S: Final = 0.5
"""Seconds that WebSocket conversations which outlast a drain have to close, once they are told to."""

_TICK_S: Final = 0.05
"""How often a drain looks whether the last connection has gone."""

_MAX_PORT: Final = 65_535
"""Checked here, since C libraries wrap larger numbers round."""

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
            self._socket = _listening_socket(self._listen)
            host, port = self._socket.getsockname()[:2]
            self._address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

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
        self._doors: list[TlsDoor] = []
        self._deadline: float | None = None

    def drain(self, grace_s: float) -> None:
        """Begin to shut down, or bring forward when a shutdown that has begun cuts what is left."""
        deadline = asyncio.get_running_loop().time() + grace_s
        self._deadline = deadline if self._deadline is None else min(deadline, self._deadline)
        self.should_exit = True
        self._leaving.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        protocol = partial(
            IngressProtocol, self.config, server_state=self.server_state, app_state={}, service=self.service
        )
        loop = asyncio.get_running_loop()
        tls = {} if self._ssl_context is None else tls_options(self._ssl_context)
        if self._ssl_context is None or os.name == "nt":  # whose event loop tells nothing of sockets
            self.servers = [
                await loop.create_server(protocol, sock=each, backlog=_ACCEPTS_AT_ONCE, **tls) for each in sockets or ()
            ]
        else:
            self._doors = [TlsDoor(each, protocol, self._ssl_context) for each in sockets or ()]
        for each in sockets or ():
            each.listen(_BACKLOG_CONNECTIONS)
        self.started = True
        self._accepting()

    async def main_loop(self) -> None:
        await self._leaving.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._stop_accepting()
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
        self._stop_accepting()
        for door in self._doors:
            await door.cut()
        for _ in range(_ACCEPT_ROUNDS):
            await asyncio.sleep(0)
        state = self.server_state
        for connection in list(state.connections):
            connection.transport.abort()
        tasks = set(state.tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            _, stuck = await asyncio.wait(tasks, timeout=_RELEASE_S)
            if stuck:
                _logger.warning("%d exchanges do not return though they were cancelled", len(stuck))
        await asyncio.sleep(0)  # connections are told that they are lost in the next round of the loop

    def _stop_accepting(self) -> None:
        for server in (*getattr(self, "servers", ()), *self._doors):
            server.close()


async def _no_application(scope: object, receive: object, send: object) -> None:
    """In place of the ASGI application, which our connections have no use for."""
    raise AssertionError("connections of our own call no ASGI application")


def _listening_socket(listen: str) -> socket.socket:
    host, separator, port = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
    if not separator or not port.isdigit() or int(port) > _MAX_PORT or (":" in host and "[" not in listen):
        raise ListenError(listen, "expected host:port")
    try:
        found = socket.getaddrinfo(host or None, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, _, _, address = min(found, key=lambda info: info[0] != socket.AF_INET)
        # With the protocol number given, asyncio sees TCP in accepted sockets and sets TCP_NODELAY on them.
        listening = socket.socket(family, kind, socket.IPPROTO_TCP)
    except OSError as exc:
        raise ListenError(listen, str(exc)) from exc
    try:
        if os.name == "posix":  # elsewhere it lets another process take the address away
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG_CONNECTIONS)
        listening.setblocking(False)
    except OSError as exc:
        listening.close()
        raise ListenError(listen, str(exc)) from exc
    return listening
