"""A client with an entry, and a server that a test has come and go: forward upstreams, and what is reached without."""

from __future__ import annotations

import asyncio
import json
import tomllib
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any

from dependency_injector import providers
from fidelity_settings import PATIENT_S, SCHEMES, TOKEN, TOKEN_SHA256
from fidelity_sockets import DEADLINE_S
from support.ports import unused_port

import tunnel
from tunnel.adapters.clock import AnyioClock
from tunnel.app.container import ClientContainer, ServerContainer
from tunnel.domain.configuration import decode_client_settings, decode_server_settings

__all__ = ["Entry"]


class _Kept:
    """A context that is entered and left in a task of its own, whoever asks for that."""

    def __init__(self, context: AbstractAsyncContextManager[Any]) -> None:
        self._context = context
        self._leaving = asyncio.Event()
        self._entered = asyncio.Event()
        self._task = asyncio.create_task(self._keep())

    async def _keep(self) -> None:
        try:
            async with self._context:
                self._entered.set()
                await self._leaving.wait()
        finally:
            self._entered.set()

    async def entered(self) -> None:
        """Return when it is entered, or raise why it is not."""
        await self._entered.wait()
        if self._task.done():
            self._task.result()

    async def leave(self) -> None:
        """Leave it."""
        self._leaving.set()
        await self._task


class Entry:
    """The entry, while it is entered. There is no server at first.

    Through the tunnel ``process.test`` is the application ``process`` in the server's process, any other host is at the
    port ``through``. Without it, what a request names is asked directly, if its port is ``allowed``.

    Args:
        transport: Of the tunnel.
        name: Of the memory transport.
        through: Port of an upstream.
        allowed: A port.
        process: The application.
        pass_time: Puts the clock forward.
    """

    def __init__(
        self,
        transport: str,
        *,
        name: str,
        through: int,
        allowed: int,
        process: object,
        pass_time: Callable[[float], Coroutine[Any, Any, None]],
    ) -> None:
        address = name if transport == "memory" else f"127.0.0.1:{unused_port()}"
        where = f"name = {json.dumps(name)}" if transport == "memory" else f"listen = {json.dumps(address)}"
        self._server_settings = decode_server_settings(
            tomllib.loads(f"""
[transports.{transport}]
{where}
[auth.tokens.fidelity]
sha256 = "{TOKEN_SHA256}"
groups = ["web"]
[groups.web]
[limits]
heartbeat_s = {PATIENT_S}
[[forward.rules]]
host = "process.test"
groups = ["web"]
upstream = "process"
[forward.upstreams.process]
targets = ["app:process"]
[[forward.rules]]
groups = ["web"]
upstream = "through"
[forward.upstreams.through]
targets = ["http://127.0.0.1:{through}"]
keepalive_s = 0
""")
        )
        self._client_settings = decode_client_settings(
            {
                "client_id": "entry",
                "group": "web",
                "token": TOKEN,
                "servers": [f"{SCHEMES[transport]}://{address}"],
                "entry": {"http": {"listen": "127.0.0.1:0", "request_id": "off"}},
                "fallback": {"direct": True, "allow": [f"127.0.0.1:{allowed}"]},
                "limits": {"heartbeat_s": PATIENT_S},
            }
        )
        self._process = process
        self._pass_time = pass_time
        self._kept_server: _Kept | None = None
        self._kept_client: _Kept
        self.client: tunnel.Client

    async def __aenter__(self) -> Entry:
        container = ClientContainer()
        container.clock.override(providers.Singleton(AnyioClock))
        self.client = tunnel.Client(self._client_settings, container=container)
        self._kept_client = _Kept(self.client)
        await self._kept_client.entered()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._kept_client.leave()
        if self._kept_server is not None:
            await self._kept_server.leave()

    @property
    def address(self) -> str:
        """Where it listens."""
        return self.client.addresses["entry.http"]

    async def server_comes(self) -> None:
        """Have a server, and the client connected to it."""
        container = ServerContainer()
        container.clock.override(providers.Singleton(AnyioClock))
        server = tunnel.Server(self._server_settings, container=container, applications={"process": self._process})
        self._kept_server = _Kept(server)
        await self._kept_server.entered()
        await self._pass_time(60)  # the client dials again only after a pause
        async with asyncio.timeout(DEADLINE_S):
            await self.client.ready()

    async def server_goes(self) -> None:
        """Have none, and the client know of it."""
        assert self._kept_server is not None
        await self._kept_server.leave()
        self._kept_server = None
        while self.client._lines.current.ready:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0)
