"""The side behind NAT: dials out, and serves what the server sends."""

from __future__ import annotations

import secrets
from types import TracebackType
from typing import Self

import anyio

from tunnel.app.background import Background
from tunnel.app.client_configuration import ClientConfiguration
from tunnel.app.container import ClientContainer
from tunnel.app.dialer import Dialer, Identity
from tunnel.app.settings import default_client_id
from tunnel.domain.configuration import ClientSettings, TargetPolicy, UpstreamSettings, parse_target
from tunnel.domain.errors import ConfigurationError, LinkEnd, LinkError, RegistrationRefused
from tunnel.domain.identity import ClientId, GroupId, InstanceId
from tunnel.ports.target import UpstreamTarget
from tunnel.ports.transport import Transport

__all__ = ["Client"]


class Client:
    """Keeps a tunnel to one of its servers up and answers conversations by its group's rules and upstreams.

    ::

        async with Client(load_client_settings("client.toml")) as client:
            await client.ready()
            await client.wait_closed()

    Lost tunnels are replaced, with growing delays, until the server refuses for good. Leaving the context closes
    everything at once; ``aclose`` first lets conversations finish. One instance runs once.

    Args:
        settings: Checked settings with a token; ``load_client_settings`` resolves ``token_env`` and ``token_file``.
        container: Parts to use instead of the usual ones; see ``tunnel.app.container``.

    Raises:
        ConfigurationError: The token was not resolved, or no transport serves a server's scheme.
    """

    def __init__(self, settings: ClientSettings, *, container: ClientContainer | None = None) -> None:
        if settings.token is None:
            raise ConfigurationError("expected the token itself; load_client_settings resolves it", key_path="token")
        self.settings = settings
        self.container = container if container is not None else ClientContainer()
        self.client_id = settings.client_id or default_client_id()
        telemetry = self.container.telemetry()
        self._configuration = ClientConfiguration(
            TargetPolicy(settings.allow_targets), self._make_target, self.container.random(), telemetry
        )
        schemes = dict.fromkeys(url.partition(":")[0] for url in settings.servers)
        self._dialer = Dialer(
            servers=settings.servers,
            transports={scheme: self._transport(scheme) for scheme in schemes},
            identity=Identity(
                ClientId(self.client_id),
                GroupId(settings.group),
                InstanceId(secrets.token_bytes(16)),
                settings.token,
            ),
            configuration=self._configuration,
            limits=settings.limits,
            clock=self.container.clock(),
            signals=self.container.signals,
            random=self.container.random(),
            telemetry=telemetry,
            budget=self.container.budget(),
            on_ready=self._on_ready,
        )
        self._background = Background()
        self._is_ready = False
        self._news = anyio.Event()
        self._closed = anyio.Event()
        self._refusal: RegistrationRefused | None = None

    async def __aenter__(self) -> Self:
        background = await self._background.__aenter__()
        background.tasks.start_soon(self._run)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await self.aclose(drain_s=0)
        try:
            await self._background.__aexit__(exc_type, exc, traceback)
        finally:
            with anyio.CancelScope(shield=True):
                await self._configuration.aclose()

    async def ready(self) -> None:
        """Return while the server sends conversations here; waits for that.

        Raises:
            RegistrationRefused: The server will not have this client.
            LinkError: ``CLOSED``: the client was closed.
        """
        while not self._is_ready:
            self._check()
            if self._closed.is_set():
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
        await self._dialer.drain(self.settings.limits.drain_s if drain_s is None else drain_s)
        self._closed.set()
        self._announce()

    def _check(self) -> None:
        if self._refusal is not None:
            raise self._refusal

    def _on_ready(self, ready: bool) -> None:
        self._is_ready = ready
        self._announce()

    def _announce(self) -> None:
        news, self._news = self._news, anyio.Event()
        news.set()

    async def _run(self) -> None:
        try:
            await self._dialer.run()
        except RegistrationRefused as exc:
            self._refusal = exc
        finally:
            self._closed.set()
            self._announce()

    def _transport(self, scheme: str) -> Transport:
        known = self.container.transports.providers
        if scheme not in known:
            schemes = ", ".join(sorted(known))
            raise ConfigurationError(f'no transport is known for "{scheme}://", only for {schemes}', key_path="servers")
        transport: Transport = self.container.transports(scheme)
        return transport

    def _make_target(self, url: str, settings: UpstreamSettings, policy: TargetPolicy) -> UpstreamTarget:
        target: UpstreamTarget = self.container.targets(parse_target(url).scheme, url, settings, policy)
        return target
