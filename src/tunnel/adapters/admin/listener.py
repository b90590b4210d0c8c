"""The admin port as a listener of its own, on uvicorn."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import Any, Final, Self, cast

import uvicorn
from anyio import CancelScope
from uvicorn.protocols.http.h11_impl import H11Protocol

from tunnel.adapters.admin.answer import ProblemAnswer
from tunnel.adapters.admin.application import AdminApplication, Message, Receive, Send
from tunnel.adapters.admin.endpoint import Endpoint
from tunnel.domain.configuration import AdminSettings
from tunnel.ports.admin import AdminListener
from tunnel.sockets.door import Door, open_door
from tunnel.sockets.listening import address_of, listening_socket
from tunnel.sockets.task_end import end_tasks

__all__ = ["UvicornAdminListener"]

_logger: Final = logging.getLogger("tunnel.admin")

_MAX_CONNECTIONS: Final = 64
"""Further ones are answered 503: a handful of scrapers, probes and people are all there should be."""

_MAX_HEAD_BYTES: Final = 16 * 1024
_HEAD_S: Final = 10.0
"""Seconds for the head of a request to come in."""

_KEEPALIVE_S: Final = 75
"""Longer than the usual 60 s between scrapes would help nobody; shorter costs every scrape a connection."""

_STOP_S: Final = 1.0
"""Seconds that answers under way have left when the port is closed."""

_TICK_S: Final = 0.02
"""How often that is looked at."""


class UvicornAdminListener(AdminListener):
    """Listens for HTTP/1.1, in TLS if told so. Runs on asyncio or uvloop only.

    Args:
        settings: Where, and who may look.
        endpoints: What there is to see.
        ssl_context: For TLS; None: plain text.
    """

    def __init__(
        self, settings: AdminSettings, endpoints: Sequence[Endpoint], *, ssl_context: ssl.SSLContext | None = None
    ) -> None:
        self._application = AdminApplication(settings, endpoints)
        self._ssl_context = ssl_context
        self._address = settings.listen
        self._socket: socket.socket | None = None
        self._server: _Server | None = None
        self._stopped = False

    @property
    def address(self) -> str:
        return self._address

    def bind(self) -> None:
        if self._socket is None:
            self._socket = listening_socket(self._application.settings.listen, backlog_connections=_MAX_CONNECTIONS)
            self._address = address_of(self._socket)

    async def serve(self, started: Callable[[], None]) -> None:
        if self._stopped:
            return
        self.bind()
        assert self._socket is not None
        server = self._server = _Server(self._application, started, self._ssl_context)
        try:
            await server.serve(sockets=[self._socket])
        finally:
            with CancelScope(shield=True):
                await server.cut()
            self._socket.close()

    def follow(self, successor: Self) -> None:
        self._application.settings = successor._application.settings

    def stop(self) -> None:
        self._stopped = True
        if self._server is not None:
            self._server.leave()
        elif self._socket is not None:
            self._socket.close()


class _Connection(H11Protocol):
    """uvicorn's connection, with a deadline for the head of a request, and problem documents."""

    _head_due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._head_came()
        elif self._head_due is None and not self.transport.is_closing():
            self._await_head()

    def send_400_response(self, msg: str) -> None:
        problem = ProblemAnswer(400, "bad_request", "the request is malformed").answer
        fields = b"".join(b"%b: %b\r\n" % field for field in (*problem.fields, (b"connection", b"close")))
        # What was asked before is answered: the parser goes on to a request only then.
        self.transport.write(b"HTTP/1.1 400 Bad Request\r\n" + fields + b"\r\n" + problem.body)
        self.transport.close()

    def on_response_complete(self) -> None:
        self._head_came()
        super().on_response_complete()
        if self.conn.trailing_data[0] and self._head_due is None:
            # The next head has begun already.
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_came()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        self._head_due = self.loop.call_later(_HEAD_S, self.transport.abort)

    def _head_came(self) -> None:
        if self._head_due is not None:
            self._head_due.cancel()
            self._head_due = None


class _Server(uvicorn.Server):
    """uvicorn's server without its signals and its ticking, and with an end to its shutdown."""

    def __init__(
        self, application: AdminApplication, accepting: Callable[[], None], ssl_context: ssl.SSLContext | None
    ) -> None:
        self._ssl_context = ssl_context
        self._application = application
        super().__init__(
            uvicorn.Config(
                cast(Any, self._answered),
                http=_Connection,
                ws="none",
                loop="none",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                date_header=False,
                h11_max_incomplete_event_size=_MAX_HEAD_BYTES,
                timeout_keep_alive=_KEEPALIVE_S,
            )
        )
        self._accepting = accepting
        self._leaving = asyncio.Event()
        self._doors: list[Door] = []

    def leave(self) -> None:
        self.should_exit = True
        self._leaving.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        protocol = partial(_Connection, self.config, self.server_state, {})
        self._doors = [
            await open_door(
                each, protocol, backlog_connections=_MAX_CONNECTIONS, logger=_logger, ssl_context=self._ssl_context
            )
            for each in sockets or ()
        ]
        self.started = True
        self._accepting()

    async def _answered(self, scope: Message, receive: Receive, send: Send) -> None:
        if len(self.server_state.connections) > _MAX_CONNECTIONS:
            await self._application.turn_away(scope, send)
        else:
            await self._application(scope, receive, send)

    async def main_loop(self) -> None:
        await self._leaving.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for door in self._doors:
            door.close()
        state = self.server_state
        for connection in list(state.connections):
            connection.shutdown()
        time = asyncio.get_running_loop().time
        deadline = time() + _STOP_S
        # uvicorn's state tells nobody when it changes.
        while (state.connections or state.tasks) and time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(_TICK_S)

    async def cut(self) -> None:
        """Drop every connection, cancel every answer, and wait until they have ended."""
        for door in self._doors:
            await door.cut()
        state = self.server_state
        for connection in list(state.connections):
            connection.transport.abort()
        await end_tasks(state.tasks, within_s=_STOP_S)
