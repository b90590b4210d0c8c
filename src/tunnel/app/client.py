"""The side behind NAT: dials out, and serves what the server sends."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

import anyio
import msgspec

from tunnel.app.admin_entrance import AdminEntrance
from tunnel.app.background import Background
from tunnel.app.client_inspection import ClientParts, InspectedClient
from tunnel.app.client_lines import ClientLines
from tunnel.app.client_visit import ClientVisit
from tunnel.app.container import ClientContainer
from tunnel.app.direct_targets import DirectTargets
from tunnel.app.direct_ways import DirectWays
from tunnel.app.entrance import Entrance
from tunnel.app.entrances import Entrances
from tunnel.app.entries import Entries
from tunnel.app.fallback import Fallback
from tunnel.app.line_maker import LineMaker
from tunnel.app.listener_tls import given, read_listener_tls, report_out_of_date
from tunnel.app.own_entries import OwnEntries
from tunnel.app.server_route import ServerRoute
from tunnel.app.settings import default_client_id
from tunnel.app.upstreams import by_scheme
from tunnel.app.way_back import WayBack
from tunnel.domain.claims.grant import Grant
from tunnel.domain.configuration import ClientSettings
from tunnel.domain.configuration.client import check_client_succession
from tunnel.domain.errors import ConfigurationError, LinkEnd, LinkError

__all__ = ["Client"]

_GOODBYE_S = 1.0


class Client:
    """Keeps a tunnel to one of its servers up, answers conversations by its group's rules and upstreams, and takes in
    those that the server is to answer.

    With ``[claim]`` in place of a group it answers those for a host of its own by an upstream of its own.

    ::

        async with Client(load_client_settings("client.toml")) as client:
            await client.ready()
            await client.wait_closed()

    Lost tunnels are replaced, with growing delays, until the server refuses for good. Leaving the context closes
    everything at once; ``aclose`` first lets conversations finish. One instance runs once.

    Args:
        settings: Checked settings with a token; ``load_client_settings`` resolves ``token_env`` and ``token_file``.
        container: Parts to use instead of the usual ones; see ``tunnel.app.container``.
        applications: Objects of ASGI or WSGI that targets ``app:NAME`` name.

    Raises:
        ConfigurationError: The token was not resolved, or no transport serves a server's scheme.
        TypeError: ``settings`` are something else, such as the path of a file.
    """

    def __init__(
        self,
        settings: ClientSettings,
        *,
        container: ClientContainer | None = None,
        applications: Mapping[str, object] | None = None,
    ) -> None:
        if not isinstance(settings, ClientSettings):
            # A path is easily passed here, and would fail far from where it was.
            raise TypeError(f"expected ClientSettings, as load_client_settings returns, got {type(settings).__name__}")
        self.container = container if container is not None else ClientContainer()
        self.client_id = settings.client_id or default_client_id()
        """The name it registers under."""
        self.settings = self._complete(settings)
        """Those in force."""
        self.version = 1
        """Of the settings: one more with each ``reload``."""
        self._background = Background()
        self._turn = anyio.Lock()
        self._news = anyio.Event()
        self._closed = anyio.Event()
        self._running = False
        self._left = False
        self._applications = self.container.applications(applications or {})
        maker = LineMaker(self.container, applications=self._applications, start=self._start, on_change=self._changed)
        self._lines = ClientLines(self.settings, maker=maker, background=self._background, on_change=self._changed)
        self._way_back = WayBack(
            self._lines,
            turn=self._turn,
            clock=self.container.clock(),
            random=self.container.random(),
            telemetry=self.container.ledger(),
        )
        self._entrances = Entrances(self._background, self.container.ledger())
        self._route = ServerRoute(self.settings.entry, self._visit, self.container.clock())
        self._own_entries = OwnEntries(self._entry_addresses, self.container.is_local())
        self._fallback = Fallback(
            self._ways(self.settings),
            DirectTargets(by_scheme(self.container.targets), start=self._start),
            through=self._route,
            token=self.container.hop_token(),
        )
        self._entries = Entries(self.container, self._fallback.at, group=lambda: self.settings.group or "")
        self._inspection = InspectedClient(
            ClientParts(
                lines=lambda: tuple(self._lines),
                entrances=self._entrances,
                waiting=lambda: self._route.waiting,
                budget=self.container.budget(),
                counters=self.container.counters(),
                clock=self.container.clock(),
                process=self.container.process(),
            ),
            settings=lambda: (self.settings, self.version),
            phase=self._phase,
        )

    # -- lifetime

    async def __aenter__(self) -> Self:
        made = self._made(self.settings)
        async with AsyncExitStack() as stack:
            stack.callback(self._entrances.stop)
            self._entrances.bind(made)
            await stack.enter_async_context(self._applications)
            async with self._applications.following(self.settings):
                await stack.enter_async_context(self._background)
                await self._entrances.open()
            stack.pop_all()
        self._running = True
        self._lines.run()
        self._start(self._way_back.run)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await self.aclose(drain_s=0)
        try:
            await self._background.__aexit__(exc_type, exc, traceback)
        finally:
            try:
                with anyio.CancelScope(shield=True):
                    await self._lines.aclose()
                    await self._fallback.aclose()
            finally:
                # Last of all, so that applications shut down when nobody calls them any more.
                await self._applications.__aexit__(None, None, None)

    async def ready(self) -> None:
        """Return while the server sends conversations here; waits for that.

        Raises:
            RegistrationRefused: The server will not have this client.
            LinkError: ``CLOSED``: the client was closed.
        """
        while not self._lines.current.ready:
            if self._closed.is_set():
                self._check()
                raise LinkError(LinkEnd.CLOSED, "the client was closed")
            await self._news.wait()

    async def wait_closed(self) -> None:
        """Return once ``aclose`` has run.

        Raises:
            RegistrationRefused: The server will not have this client.
        """
        await self._closed.wait()
        self._check()

    async def aclose(self, *, drain_s: float | None = None) -> None:
        """Stop: take no more conversations, let those under way finish, close the tunnel.

        Args:
            drain_s: Seconds for that; None for the configured ``drain_s``, 0 for none.
        """
        self._running, self._left = False, True
        self._way_back.stop()
        grace_s = self.settings.limits.drain_s if drain_s is None else drain_s
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._leave_entries, grace_s)
            for line in self._lines:
                tasks.start_soon(line.finish, grace_s)
        # Whoever had to be sent away was told so by the entry, before the tunnel is gone.
        async with anyio.create_task_group() as tasks:
            for line in self._lines:
                tasks.start_soon(line.leave, 0)
        self._entrances.close()
        self._close()

    async def _leave_entries(self, grace_s: float) -> None:
        with anyio.move_on_after(grace_s + _GOODBYE_S):
            await self._entrances.drain(grace_s)

    # -- other settings

    async def reload(self, settings: ClientSettings) -> int:
        """Go on with other settings, without losing a conversation.

        ``allow_targets`` and ``upstreams`` are put in place where the client is: the configuration that the server has
        sent is judged anew. ``admin`` and ``entry`` open and close listeners; conversations under way at those that are
        closed get ``drain_s``. ``fallback`` holds for the conversations that begin from now on, and ``tls`` for the
        links it dials, with the files as they are now. Applications in this process that are named anew start before
        anything changes. For anything else, or when that configuration had been rejected, another tunnel is brought up
        beside the one there is. Once the server sends conversations to it, the old one drains; until then the old one
        serves. An error, or being cancelled, leaves everything as it was. One reload at a time; others wait for their
        turn.

        Args:
            settings: Checked settings, whole, with a token. Without a ``client_id`` the present one stays.

        Returns:
            Their version.

        Raises:
            ConfigurationError: They cannot be followed, or the configuration that the server has sent is refused
                under them.
            RegistrationRefused: The server will not have this client under them.
            ListenError: An address cannot be had.
            LinkError: ``UNREACHABLE``: there was no tunnel within ``connect_s`` for each server and ``handshake_s``,
                though under the old settings there is one; ``CLOSED``: the client is not running, or not any more.
        """
        # Held while a tunnel comes up: whoever comes second must find it either there or gone.
        async with self._turn:
            self._check_running()
            settings = self._complete(settings)
            check_client_succession(self.settings, settings)
            made = self._made(settings)
            async with self._applications.following(settings), self._entrances.letting_in(made):
                self._check_running()
                await self._lines.follow(settings)
                assert settings.client_id is not None
                self.client_id = settings.client_id
            self._entrances.replace(made, grace_s=settings.limits.drain_s)
            self._route.follow(settings.entry)
            if (settings.entry, settings.fallback) != (self.settings.entry, self.settings.fallback):
                self._fallback.follow(self._ways(settings))
            self.settings = settings
            self.version += 1
            return self.version

    def _check_running(self) -> None:
        if not self._running:
            raise LinkError(LinkEnd.CLOSED, "the client is not running")

    # -- what it is doing

    @property
    def addresses(self) -> dict[str, str]:
        """Where it listens, with real ports: ``{"admin": "127.0.0.1:8090", "entry.http": "127.0.0.1:9080"}``.

        Others are ``entry.grpc`` and, of ``[[entry.tcp]]``, ``entry.tcp-NAME``.
        """
        return self._entrances.addresses

    @property
    def claim(self) -> Grant | None:
        """What the server last granted, with ``[claim]``: host, path prefix and URL; None before it did.

        There once ``ready`` has returned, and the same over reconnections and restarts of the server. A host that a
        server chose is replaced by another only when it is refused later on, by another server for instance.
        """
        asked = self._lines.current.claim
        return None if asked is None else asked.grant

    @property
    def failure(self) -> str:
        """Which servers could not be used, and why each; empty when none was tried in vain since there was a link."""
        return "; ".join(f"{url}: {reason}" for url, reason in self._lines.current.dialer.failures.items())

    # -- inside

    def _phase(self) -> str:
        """Why no server sends conversations here; empty when one does."""
        if self._lines.current.refusal is not None:
            return f"the server refused this client: {self._lines.current.refusal}"
        if not self._running:
            return "draining" if self._left else "starting"
        return "" if self._lines.current.ready else "no server sends conversations here"

    def _made(self, settings: ClientSettings) -> dict[str, Entrance]:
        """Entrances as configured, neither bound nor started.

        Raises:
            ConfigurationError: A file that TLS needs is missing or wrong.
        """
        made: dict[str, Entrance] = {}
        found = read_listener_tls(settings, self.container.listener_tls)
        report_out_of_date(found, self.container.ledger())
        if settings.admin is not None:
            tls = found.get("admin")
            listener = self.container.admin(settings.admin, self._inspection, **given(tls))
            made["admin"] = AdminEntrance(settings.admin, listener, tls=tls)
        return made | self._entries.made(settings, found)

    def _ways(self, settings: ClientSettings) -> DirectWays:
        return DirectWays(settings, self._own_entries.reached_by)

    def _entry_addresses(self) -> list[str]:
        return [each.address for each in self._entrances.views() if each.kind == "entry"]

    def _visit(self) -> ClientVisit | None:
        return self._lines.current.dialer.visit

    def _complete(self, settings: ClientSettings) -> ClientSettings:
        if settings.token is None:
            raise ConfigurationError("expected the token itself; load_client_settings resolves it", key_path="token")
        return msgspec.structs.replace(settings, client_id=settings.client_id or self.client_id)

    def _start(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._background.tasks.start_soon(work)

    def _changed(self) -> None:
        if self._lines.over:
            self._closed.set()
        news, self._news = self._news, anyio.Event()
        news.set()
        self._route.arrived()
        self._way_back.changed()

    def _close(self) -> None:
        self._closed.set()
        self._changed()

    def _check(self) -> None:
        if self._lines.current.refusal is not None:
            raise self._lines.current.refusal
