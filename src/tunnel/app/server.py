"""The public side: listeners for clients, ingresses for visitors, and what joins them."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

import anyio

from tunnel.app.access_logs import AccessLogs
from tunnel.app.background import Background
from tunnel.app.claims import Claims
from tunnel.app.container import ServerContainer
from tunnel.app.entrances import Entrances
from tunnel.app.forward_router import ForwardRouter
from tunnel.app.forward_target import ForwardTargets
from tunnel.app.link_service import ServerLinks
from tunnel.app.middlewares import Middlewares, check_kinds
from tunnel.app.mounted_ingress import MountedIngress
from tunnel.app.prepared import prepare, prepare_aside, trusting
from tunnel.app.routes import Routes
from tunnel.app.server_entrances import ServerEntrances
from tunnel.app.server_inspection import InspectedServer, ServerParts
from tunnel.app.tunnel import Tunnel
from tunnel.app.upstreams import by_scheme
from tunnel.domain.claims.claim import Claim
from tunnel.domain.claims.grant import public_url
from tunnel.domain.configuration import ServerSettings
from tunnel.domain.configuration.server import check_succession
from tunnel.domain.errors import LinkEnd, LinkError
from tunnel.domain.findings import Findings
from tunnel.domain.identity import ServerId
from tunnel.domain.registry import Registry, RegistrySnapshot

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
        applications: Objects of ASGI or WSGI that targets ``app:NAME`` of forward upstreams name.

    Raises:
        ConfigurationError: The settings cannot be followed.
        TypeError: ``settings`` are something else, such as the path of a file.
    """

    def __init__(
        self,
        settings: ServerSettings,
        *,
        container: ServerContainer | None = None,
        applications: Mapping[str, object] | None = None,
    ) -> None:
        if not isinstance(settings, ServerSettings):
            # A path is easily passed here, and would fail far from where it was.
            raise TypeError(f"expected ServerSettings, as load_server_settings returns, got {type(settings).__name__}")
        self.settings = settings
        """Those in force."""
        self.version = 1
        """Of the settings: one more with each ``reload``."""
        self.container = container if container is not None else ServerContainer()
        self._telemetry = self.container.ledger()
        self._access_logs = AccessLogs(self._telemetry, self.container.access_log)
        self._registry: Registry[Tunnel] = Registry(max_links=settings.limits.max_links, on_published=self._published)
        self._claims = Claims(
            settings.claims,
            registry=self._registry,
            random=self.container.random(),
            unpredictable=self.container.unpredictable(),
            ledger=self._telemetry,
            clock=self.container.clock(),
            on_change=self._claims_changed,
        )
        self._background = Background()
        prepared = prepare(settings, version=self.version)
        self._snapshots = prepared.snapshots
        self._middleware = self._middlewares(settings)
        self._target = Routes(
            prepared.rules,
            settings.groups,
            claims=self._claims,
            registry=self._registry,
            random=self.container.random(),
            ledger=self._telemetry,
            clock=self.container.clock(),
            middleware=self._middleware,
        )
        self._applications = self.container.applications(applications or {})
        self._forward_rules = prepared.forward
        self._forward = ForwardRouter(
            by_scheme(self.container.targets, self._applications),
            self.container.random(),
            telemetry=self._telemetry,
            clock=self.container.clock(),
            kinds=self.container.middleware,
            start=self._start,
        )
        self._authenticator = self.container.authenticator(settings.auth)
        self._links = ServerLinks(
            server_id=ServerId(secrets.token_hex(16)),
            limits=settings.limits,
            authenticator=self._authenticator,
            registry=self._registry,
            claims=self._claims,
            public_url=self._public_url,
            snapshots=self._snapshots,
            clock=self.container.clock(),
            signals=self.container.signals,
            telemetry=self._telemetry,
            budget=self.container.budget(),
            forward=ForwardTargets(self._forward, self._telemetry),
        )
        self._entrances = Entrances(self._background, self._telemetry)
        self._inspection = InspectedServer(
            ServerParts(
                registry=self._registry,
                claims=self._claims,
                links=self._links,
                routes=self._target,
                entrances=self._entrances,
                budget=self.container.budget(),
                clock=self.container.clock(),
                process=self.container.process(),
            ),
            settings=lambda: (self.settings, self.version),
            phase=lambda: self._phase,
        )
        self._maker = ServerEntrances(
            self.container,
            links=self._links,
            routes=self._target,
            inspection=self._inspection,
            address=self._entrances.address,
        )
        self.ingress = MountedIngress(self._maker.mounted(settings))
        """An ASGI application to mount elsewhere; works while the context is entered. It follows ``[ingress.http]`` in
        all but ``listen``, and lets links in too with ``[transports.websocket] on_ingress``."""
        self._turn = anyio.Lock()
        self._phase = "starting"
        self._running = False
        self._ended = False
        self._closed = anyio.Event()

    # -- lifetime

    async def __aenter__(self) -> Self:
        made = self._maker.made(self.settings)
        async with self._access_logs.following(self.settings.access_log), AsyncExitStack() as stack:
            stack.callback(self._entrances.stop)
            self._entrances.bind(made)
            await stack.enter_async_context(self._applications)
            async with self._applications.following(self.settings):
                background = await stack.enter_async_context(self._background)
                self._forward.follow(self.settings.forward, self._forward_rules, trusting(self.settings))
                await background.start(self._links.run)
                await self._entrances.open()
            stack.pop_all()
        self._running, self._phase = True, ""
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            with anyio.CancelScope(shield=True):
                await self.aclose(drain_s=0)
            await self._background.__aexit__(exc_type, exc, traceback)
        finally:
            self._ended = True
            with anyio.CancelScope(shield=True):
                await self._forward.aclose()
                await self._middleware.aclose()
            try:
                # When nobody calls them any more.
                await self._applications.__aexit__(None, None, None)
            finally:
                # Last of all: what is cut off only now is recorded too.
                await self._access_logs.aclose()

    async def aclose(self, *, drain_s: float | None = None) -> None:
        """Stop: first the ingresses, when their conversations are over the links, last the admin port.

        Args:
            drain_s: Seconds that conversations under way get to finish; None for the configured ``drain_s``, 0 for
                none.
        """
        self._running, self._phase = False, "draining"
        grace_s = self.settings.limits.drain_s if drain_s is None else drain_s
        if drain_s is None and self.settings.limits.drain_delay_s:
            await anyio.sleep(self.settings.limits.drain_delay_s)
        until = anyio.current_time() + grace_s
        with anyio.move_on_after(grace_s + _GOODBYE_S):
            await self._entrances.drain(grace_s)
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
        self._entrances.close()
        self._closed.set()

    async def wait_closed(self) -> None:
        """Return once ``aclose`` has run."""
        await self._closed.wait()

    # -- other settings

    async def reload(self, settings: ServerSettings) -> int:
        """Go on with other settings, without losing a request.

        1. Everything that can fail comes first: rules are compiled, applications in this process that are named anew
           started, new listeners bound and started.
        2. Then, in one step, all that can be asked by name is replaced. Each request meets either all of the old rules,
           groups and forward upstreams, or all of the new; requests that wait for a client go on waiting, unless their
           group is gone.
        3. Clients whose group has another configuration are sent it, and those whose credential does not let them
           stay are closed with ``forbidden``. New limits hold for clients that register from now on.
        4. Listeners whose address has changed leave: conversations under way there get ``drain_s`` to finish. Those
           that stay use their certificates as these are in the files now, from the next handshake on.

        An error, or being cancelled, leaves everything as it was. One reload at a time; others wait for their turn.

        Args:
            settings: Checked settings, whole.

        Returns:
            Their version.

        Raises:
            ConfigurationError: They cannot be followed.
            ListenError: An address cannot be had.
            LinkError: ``CLOSED``: the server is not running, or not any more.
        """
        # Held while listeners start: whoever comes second must find them either there or gone.
        async with self._turn:
            self._check_running()
            check_succession(self.settings, settings)
            version = self.version + 1
            prepared = await prepare_aside(settings, version=version, previous=self._snapshots)
            mounted = self._maker.mounted(settings)
            authenticator = self._authenticator
            if settings.auth != self.settings.auth:
                authenticator = self.container.authenticator(settings.auth)
            made = self._maker.made(settings)
            middleware = self._middlewares(settings, self._middleware)

            def let_go() -> None:
                # What is not to be used: the new one until it is in place, from then on the old one.
                middleware.release()

            async with AsyncExitStack() as stack:
                stack.callback(let_go)
                await stack.enter_async_context(self._applications.following(settings))
                await stack.enter_async_context(self._access_logs.following(settings.access_log))
                async with self._entrances.letting_in(made):
                    # A shutdown that has begun meanwhile is not to find more than it knows of.
                    self._check_running()
                    self._forward.follow(settings.forward, prepared.forward, trusting(settings))
                # Nothing is awaited from here on, until all is in place.
                self.settings, self.version = settings, version
                self._snapshots, self._authenticator = prepared.snapshots, authenticator
                self._registry.limit_links(settings.limits.max_links)
                self._target.follow(prepared.rules, settings.groups, middleware)
                middleware, self._middleware = self._middleware, middleware
                self._claims.follow(settings.claims)
                self.ingress.application = mounted
                self._links.configure(limits=settings.limits, authenticator=authenticator, snapshots=prepared.snapshots)
                self._entrances.replace(made, grace_s=settings.limits.drain_s)
            return version

    def _check_running(self) -> None:
        if not self._running:
            raise LinkError(LinkEnd.CLOSED, "the server is not running")

    # -- what it is doing

    @property
    def addresses(self) -> dict[str, str]:
        """Where it listens, with real ports, by kind and name: ``{"transport.grpc": "127.0.0.1:7000", ...}``.

        Others are ``ingress.http`` and, of ``[[ingress.tcp]]``, ``ingress.tcp-NAME``.
        """
        return self._entrances.addresses

    def clients(self) -> RegistrySnapshot:
        """Who is connected now; the value does not change afterwards."""
        return self._registry.snapshot()

    # -- inside

    def _public_url(self, claim: Claim) -> str | None:
        """Where visitors find a claim: as configured, else where this server listens; None when it does not."""
        http = self.settings.ingress.http
        if http is None:
            return None
        address = self._entrances.addresses.get("ingress.http", http.listen)
        scheme = "http" if http.tls is None else "https"
        return public_url(http.public_url or f"{scheme}://{address}", claim)

    def _claims_changed(self) -> None:
        self._target.claims_changed()

    def _middlewares(self, settings: ServerSettings, previous: Middlewares | None = None) -> Middlewares:
        """What the server's own rules name; what groups' rules name is checked."""
        tables, kinds = trusting(settings), self.container.middleware
        found = Findings()
        check_kinds(settings, kinds, found=found)
        found.tell()
        return Middlewares(tables, settings.rules, place="rules", kinds=kinds, start=self._start, previous=previous)

    def _start(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        # Visitors of a mounted ingress are another server's, and may leave when nothing of this one runs any more.
        if not self._ended:
            self._background.tasks.start_soon(work)

    def _published(self, group: str) -> None:
        self._target.arrived(group)
