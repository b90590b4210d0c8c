"""The TCP ingress: each connection is a conversation with one upstream."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from functools import partial
from typing import Final, Self

from anyio import CancelScope

from tunnel.adapters.tcp.connection import TcpConnection
from tunnel.adapters.tcp.shared import Shared
from tunnel.adapters.tcp.visit import TcpVisit
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.ports.ingress import Ingress
from tunnel.ports.target import ProxyTarget
from tunnel.sockets.door import Door, open_door
from tunnel.sockets.listening import address_of, listening_socket
from tunnel.sockets.task_end import end_tasks

__all__ = ["TcpIngress"]

_logger: Final = logging.getLogger("tunnel.ingress")

_BACKLOG_CONNECTIONS: Final = 1024
"""Connections the kernel holds ready while we are busy; what comes beyond is the visitor's to try again."""

_RELEASE_S: Final = 5.0
"""Seconds that cancelled targets have to return before ``serve`` gives up on them."""


class TcpIngress(Ingress):
    """Accepts connections and gives each to the target as a ``Stream``.

    A conversation that fails, before or after its first byte, ends with a reset, so that no visitor takes it for
    complete. A visitor that resets cancels its target. Runs on asyncio or uvloop only.

    Args:
        listen: ``HOST:PORT``; port 0 for any free one.
        name: Its name in logs and ready lines.
        upstream: What its conversations ask for.
        max_connections: At the same time; further ones are reset.
    """

    def __init__(self, listen: str, *, name: str, upstream: str, max_connections: int = 1000) -> None:
        self._listen = listen
        self._name = name
        self._upstream = upstream
        self._max_connections = max_connections
        self._socket: socket.socket | None = None
        self._address = listen
        self._target: ProxyTarget
        self._visits: dict[asyncio.Task[None], TcpVisit] = {}
        self._full = False
        self._drained = False
        self._deadline = 0.0
        """When what is left is cut off, once drained."""
        self._news = asyncio.Event()
        """Set when drained, and then when the last visitor has left."""

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
        self._target = target
        shared = Shared()
        door: Door | None = None
        try:
            door = await open_door(
                self._socket,
                partial(TcpConnection, shared, on_made=self._accept),
                backlog_connections=_BACKLOG_CONNECTIONS,
                logger=_logger,
            )
            started()
            while not self._drained:
                await self._news.wait()
            door.close()
            await self._left()
        finally:
            self._drained = True
            with CancelScope(shield=True):
                if door is not None:
                    await door.cut()
                self._socket.close()
                await self._cut(shared)

    def follow(self, successor: Self) -> None:
        self._name = successor._name
        self._upstream = successor._upstream
        self._max_connections = successor._max_connections

    def drain(self, grace_s: float) -> None:
        if self._socket is None or not hasattr(self, "_target"):
            self._drained = True
            if self._socket is not None:
                self._socket.close()
            return
        deadline = asyncio.get_running_loop().time() + grace_s
        self._deadline = min(deadline, self._deadline) if self._drained else deadline
        self._drained = True
        self._news.set()

    # -- inside

    def _accept(self, connection: TcpConnection) -> None:
        full = len(self._visits) >= self._max_connections
        if full and not self._full:
            _logger.warning("%s: more than %d connections; further ones are reset", self._name, self._max_connections)
        self._full = full
        if full or self._drained:
            connection.reset()
            return
        visit = TcpVisit(connection, self._upstream)
        handling = asyncio.get_running_loop().create_task(self._handle(connection, visit))
        self._visits[handling] = visit
        handling.add_done_callback(self._over)
        connection.on_lost = handling.cancel

    async def _handle(self, connection: TcpConnection, visit: TcpVisit) -> None:
        """What the target raises ends here, but for being cancelled."""
        answered = False
        try:
            await self._target.handle(visit)
            answered = connection.said_end
        except SessionError:
            # The visitor is told by the reset; the target has told the operator.
            pass
        except Exception:
            _logger.exception("%s: a target failed", self._name)
        finally:
            if not answered:
                connection.reset()
        if answered:
            await connection.finish()

    def _over(self, handling: asyncio.Task[None]) -> None:
        del self._visits[handling]
        if self._drained and not self._visits:
            self._news.set()

    async def _left(self) -> None:
        """Wait until every visitor has left, or the time given is over."""
        time = asyncio.get_running_loop().time
        while self._visits and (left_s := self._deadline - time()) > 0:
            self._news.clear()
            try:
                async with asyncio.timeout(left_s):
                    await self._news.wait()
            except TimeoutError:
                return

    async def _cut(self, shared: Shared) -> None:
        """Reset every connection, cancel every target, and wait until they have returned."""
        for visit in self._visits.values():
            visit.cut_off = SessionError(ErrorCode.PEER_LOST, "the server is shutting down")
        for connection in tuple(shared.open):
            connection.reset()
        if stuck := await end_tasks(self._visits, within_s=_RELEASE_S):
            _logger.warning("%s: %d conversations do not return though they were cancelled", self._name, stuck)
