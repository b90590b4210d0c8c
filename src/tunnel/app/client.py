"""The side behind NAT: dials out, and serves what the server sends."""

from __future__ import annotations

import secrets
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

import anyio
from anyio.abc import TaskGroup

from tunnel.app.client_configuration import ClientConfiguration
from tunnel.app.container import ClientContainer
from tunnel.app.dialer import Dialer, Identity
from tunnel.app.settings import default_client_id
from tunnel.domain.configuration import ClientSettings, TargetPolicy, UpstreamSettings
from tunnel.domain.errors import ConfigurationError, RegistrationRefused
from tunnel.domain.identity import ClientId, GroupId, InstanceId
from tunnel.ports.target import UpstreamTarget

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
            transports={scheme: self.container.transports(scheme) for scheme in schemes},
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
        self._stack = AsyncExitStack()
        self._tasks: TaskGroup | None = None
        self._ready = anyio.Event()
        self._closed = anyio.Event()
        self._refusal: RegistrationRefused | None = None

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self._tasks = await stack.enter_async_context(anyio.create_task_group())
            self._tasks.start_soon(self._run)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await self.aclose(drain_s=0)
        assert self._tasks is not None
        self._tasks.cancel_scope.cancel()
        try:
            # The body's own exception is not the task group's to wrap.
            await self._stack.aclose()
        finally:
            with anyio.CancelScope(shield=True):
                await self._configuration.aclose()

    async def ready(self) -> None:
        """Return while the server sends conversations here; waits for that.

        Raises:
            RegistrationRefused: The server will not have this client.
        """
        while not self._ready.is_set():
            self._check()
            async with anyio.create_task_group() as tasks:
                for event in (self._ready, self._closed):
                    tasks.start_soon(_wait_then_cancel, event, tasks.cancel_scope)
            if self._closed.is_set():
                break
        self._check()

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

    def _check(self) -> None:
        if self._refusal is not None:
            raise self._refusal

    def _on_ready(self, ready: bool) -> None:
        if ready:
            self._ready.set()
        else:
            self._ready = anyio.Event()

    async def _run(self) -> None:
        try:
            await self._dialer.run()
        except RegistrationRefused as exc:
            self._refusal = exc
        finally:
            self._closed.set()

    def _make_target(self, url: str, settings: UpstreamSettings, policy: TargetPolicy) -> UpstreamTarget:
        target: UpstreamTarget = self.container.targets(url.partition(":")[0], url, settings, policy)
        return target


async def _wait_then_cancel(event: anyio.Event, scope: anyio.CancelScope) -> None:
    await event.wait()
    scope.cancel()
