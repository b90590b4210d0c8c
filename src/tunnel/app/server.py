"""The public side: listeners for clients, ingresses for visitors, and what joins them."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from types import TracebackType
from typing import Any, Self

import anyio
from anyio.abc import TaskGroup

from tunnel.app.background import Background
from tunnel.app.container import ServerContainer
from tunnel.app.group_target import Group, GroupTarget
from tunnel.app.link_service import ServerLinks
from tunnel.app.snapshots import Snapshots
from tunnel.app.tunnel import Tunnel
from tunnel.domain.balancing import STRATEGIES
from tunnel.domain.configuration import ServerSettings
from tunnel.domain.identity import ServerId
from tunnel.domain.registry import Registry, RegistrySnapshot
from tunnel.domain.rules.engine import RulesEngine
from tunnel.ports.ingress import Ingress
from tunnel.ports.telemetry import Listening
from tunnel.ports.transport import Listener

__all__ = ["Server"]

_GOODBYE_S = 1.0


class Server:
    """Accepts clients' links and visitors' requests, and carries the one to the other.

    ::

        async with Server(load_server_settings("server.toml")) as server:
            await server.wait_closed()

    Entering the context binds every listener, then starts all; when one cannot be bound nothing is started. Leaving it
    closes everything at once; ``aclose`` first lets conversations finish. One instance runs once.

    Args:
        settings: Checked settings.
        container: Parts to use instead of the usual ones; see ``tunnel.app.container``.
    """

    def __init__(self, settings: ServerSettings, *, container: ServerContainer | None = None) -> None:
        self.settings = settings
        self.container = container if container is not None else ServerContainer()
        self._telemetry = self.container.telemetry()
        self._groups: dict[str, Group] = {}
        self._registry: Registry[Tunnel] = Registry(
            max_links=settings.limits.max_links, on_published=lambda group: self._groups[group].arrived()
        )
        random = self.container.random()
        for name, group in settings.groups.items():
            self._groups[name] = Group(name, group, STRATEGIES[group.balance](), self._registry, random)
        self._target = GroupTarget(RulesEngine(settings.rules), self._groups, self._telemetry)
        self._links = ServerLinks(
            server_id=ServerId(secrets.token_hex(16)),
            limits=settings.limits,
            authenticator=self.container.authenticator(settings.auth),
            registry=self._registry,
            snapshots=Snapshots(settings.groups),
            clock=self.container.clock(),
            signals=self.container.signals,
            telemetry=self._telemetry,
            budget=self.container.budget(),
        )
        self.ingress: Callable[..., Any] = self.container.asgi_ingress(
            self._target, settings.ingress.http, settings.limits
        )
        """An ASGI application to mount elsewhere; works while the context is entered. It follows ``[ingress.http]`` in
        all but ``listen``."""
        self._listeners: dict[str, Listener] = {}
        self._ingresses: dict[str, Ingress] = {}
        self._background = Background()
        self._closed = anyio.Event()
        self._ingresses_done = anyio.Event()
        self._open_ingresses = 0

    # -- lifetime

    async def __aenter__(self) -> Self:
        self._make_listeners()
        async with AsyncExitStack() as stack:
            stack.callback(self._release)
            for listener in self._listeners.values():
                listener.bind()
            for ingress in self._ingresses.values():
                ingress.bind()
            background = await stack.enter_async_context(self._background)
            for name, listener in self._listeners.items():
                await self._start(background.tasks, partial(listener.serve, self._links))
                self._telemetry.record(Listening("transport", name, listener.address))
            for name, ingress in self._ingresses.items():
                self._open_ingresses += 1
                await self._start(background.tasks, partial(self._serve_ingress, ingress))
                self._telemetry.record(Listening("ingress", name, ingress.address))
            stack.pop_all()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await self.aclose(drain_s=0)
        await self._background.__aexit__(exc_type, exc, traceback)

    async def aclose(self, *, drain_s: float | None = None) -> None:
        """Stop: first the ingresses, when their conversations are over the links.

        Args:
            drain_s: Seconds that conversations under way get to finish; None for the configured ``drain_s``, 0 for
                none.
        """
        grace_s = self.settings.limits.drain_s if drain_s is None else drain_s
        if drain_s is None and self.settings.limits.drain_delay_s:
            await anyio.sleep(self.settings.limits.drain_delay_s)
        until = anyio.current_time() + grace_s
        for ingress in self._ingresses.values():
            ingress.drain(grace_s)
        with anyio.move_on_after(grace_s + _GOODBYE_S):
            if self._open_ingresses:
                await self._ingresses_done.wait()
        tunnels = self._registry.tunnels()
        for tunnel in tunnels:
            tunnel.go_away("shutdown")
        with anyio.move_on_after(max(0.0, until - anyio.current_time())):
            for tunnel in tunnels:
                await tunnel.drained()
        for tunnel in tunnels:
            tunnel.close("shutdown", "the server shut down")
        with anyio.move_on_after(_GOODBYE_S):
            for tunnel in tunnels:
                await tunnel.ended()
        for listener in self._listeners.values():
            listener.stop()
        self._closed.set()

    async def wait_closed(self) -> None:
        """Return once ``aclose`` has run."""
        await self._closed.wait()

    # -- what it is doing

    @property
    def addresses(self) -> dict[str, str]:
        """Where it listens, with real ports: ``{"transport.grpc": "127.0.0.1:7000", "ingress.http": ...}``."""
        transports = {f"transport.{name}": each.address for name, each in self._listeners.items()}
        return transports | {f"ingress.{name}": each.address for name, each in self._ingresses.items()}

    def clients(self) -> RegistrySnapshot:
        """Who is connected now; the value does not change afterwards."""
        return self._registry.snapshot()

    # -- inside

    def _make_listeners(self) -> None:
        listeners = self.container.listeners
        for name in listeners.providers:
            table = getattr(self.settings.transports, name, None)
            if table is not None:
                self._listeners[name] = listeners(name, table)
        if self.settings.ingress.http is not None:
            self._ingresses["http"] = self.container.ingresses("http", self.settings.ingress.http, self.settings.limits)

    def _release(self) -> None:
        """Give back what was bound."""
        for listener in self._listeners.values():
            listener.stop()
        for ingress in self._ingresses.values():
            ingress.drain(0)

    async def _start(self, tasks: TaskGroup, serve: Callable[[Callable[[], None]], Awaitable[None]]) -> None:
        """Return once it accepts. What it raises before that is raised here, as it is."""
        started = anyio.Event()
        failure: Exception | None = None

        async def run() -> None:
            nonlocal failure
            try:
                await serve(started.set)
            except Exception as exc:
                if started.is_set():
                    raise
                failure = exc
            finally:
                started.set()

        tasks.start_soon(run)
        await started.wait()
        if failure is not None:
            raise failure

    async def _serve_ingress(self, ingress: Ingress, started: Callable[[], None]) -> None:
        try:
            await ingress.serve(self._target, started)
        finally:
            self._open_ingresses -= 1
            if not self._open_ingresses:
                self._ingresses_done.set()
