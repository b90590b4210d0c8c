"""What a client does with the configurations it is sent: apply them whole, or reject them with the reason."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import Any

from tunnel.app.middlewares import KindProvider
from tunnel.app.succession import Succession
from tunnel.app.upstream_router import UpstreamRouter
from tunnel.app.upstreams import TargetFactory
from tunnel.domain.configuration import ClientPolicy, GroupSnapshot, TargetPolicy, UpstreamSettings
from tunnel.domain.configuration.upstream_tls import accepts_any_certificate
from tunnel.domain.envelopes import ConfigApplied, ConfigRejected, ConfigSyncResponse
from tunnel.domain.errors import ConfigurationError, ErrorCode, LinkEnd, LinkError, SessionError
from tunnel.domain.limits import MIB
from tunnel.domain.random_source import RandomSource
from tunnel.ports.clock import Clock
from tunnel.ports.target import ProxyTarget, Stream, UpstreamTarget
from tunnel.ports.telemetry import ConfigurationApplied, Telemetry

__all__ = ["ClientConfiguration"]

_logger = logging.getLogger("tunnel.configuration")

_MAX_SNAPSHOT_BYTES = 16 * MIB


class ClientConfiguration(ProxyTarget):
    """Holds the router of the snapshot applied last, and handles conversations with it.

    A router that is replaced finishes the conversations it has, and is closed after the last of them.

    Args:
        policy: What is made of snapshots.
        target_factory: Makes targets.
        random: For balancing.
        telemetry: Told what was applied, and of targets that are ejected and return.
        clock: Time.
        kinds: Makes the middleware that rules name.
        start: Runs something in the background.
        on_rejected: Called when a snapshot was rejected.
    """

    def __init__(
        self,
        policy: ClientPolicy,
        target_factory: TargetFactory,
        random: RandomSource,
        telemetry: Telemetry,
        *,
        clock: Clock,
        kinds: KindProvider,
        start: Callable[[Callable[[], Coroutine[Any, Any, None]]], None],
        on_rejected: Callable[[], None],
    ) -> None:
        self._policy = policy
        self._target_factory = target_factory
        self._random = random
        self._telemetry = telemetry
        self._clock = clock
        self._kinds = kinds
        self._start = start
        self._on_rejected = on_rejected
        self._snapshot: GroupSnapshot | None = None
        self._routers: Succession[UpstreamRouter] = Succession(start)
        self._coming = (0, "")
        """Version and hash of the snapshot whose parts are coming in."""
        self._parts = bytearray()
        self.hash = ""
        """Of the snapshot applied last; empty before the first."""
        self.rejection: ConfigurationError | None = None
        """Why the snapshot that came last was rejected; None when it was applied."""

    async def handle(self, stream: Stream) -> None:
        routers = self._routers
        serving = routers.current
        if serving is None:
            raise SessionError(ErrorCode.REFUSED, "this client has no configuration yet")
        serving.conversations += 1
        try:
            await serving.router.handle(stream)
        finally:
            serving.conversations -= 1
            if serving is not routers.current:
                routers.left(serving)

    # -- what the server sends

    def begin(self) -> None:
        """A new link: parts of a snapshot that its predecessor did not complete are void."""
        self._coming = (0, "")
        self._parts = bytearray()

    def take(self, message: ConfigSyncResponse) -> ConfigApplied | ConfigRejected | None:
        """Take in a snapshot or a part of one.

        Returns:
            The answer to the server; None while parts are missing.

        Raises:
            LinkError: ``VIOLATED``: the snapshot is too large.
        """
        if (message.version, message.hash) != self._coming:
            # A newer one takes the place of one that was still under way, of the same contents even: the server may
            # have gone back to what it had meanwhile replaced.
            self.begin()
            self._coming = (message.version, message.hash)
        self._parts += message.snapshot
        if len(self._parts) > _MAX_SNAPSHOT_BYTES or (message.more and not message.snapshot):
            raise LinkError(LinkEnd.VIOLATED, "the configuration is too large, or has empty parts")
        if message.more:
            return None
        encoded = bytes(self._parts)
        self.begin()
        try:
            snapshot = GroupSnapshot.decode(encoded)
            router = self._router(snapshot, self._policy)
        except ConfigurationError as exc:
            self.rejection = exc
            self._telemetry.record(ConfigurationApplied(message.version, message.hash, rejected=str(exc)))
            self._on_rejected()
            return ConfigRejected(message.version, message.hash, str(exc))
        self._snapshot = snapshot
        self._routers.replace(router)
        self.hash = message.hash
        self.rejection = None
        self._telemetry.record(ConfigurationApplied(message.version, message.hash))
        return ConfigApplied(message.version, message.hash)

    # -- what this client's own settings say

    def follow(self, policy: ClientPolicy) -> None:
        """Judge by another policy from now on, beginning with the snapshot applied last.

        Raises:
            ConfigurationError: That snapshot would be refused. The policy before goes on.
        """
        if self._snapshot is not None:
            self._routers.replace(self._router(self._snapshot, policy))
        self._policy = policy

    # -- routers

    def _router(self, snapshot: GroupSnapshot, policy: ClientPolicy) -> UpstreamRouter:
        def make(url: str, settings: UpstreamSettings, _: TargetPolicy) -> UpstreamTarget:
            return self._target_factory(url, settings, policy.of(settings))

        try:
            # Targets are taken over from the router of before under the same policy only, which dials by itself.
            router = UpstreamRouter(
                policy.applied_to(snapshot),
                policy.union,
                make,
                self._random,
                previous=self._routers.router,
                telemetry=self._telemetry,
                clock=self._clock,
                kinds=self._kinds,
                start=self._start,
            )
        except ConfigurationError:
            raise
        except Exception as exc:
            # A target's maker is anybody's code. What it cannot make must not end the client.
            _logger.exception("a configuration could not be applied")
            raise ConfigurationError(f"could not be applied: {type(exc).__name__}: {exc}") from exc
        for name in policy.unused_by(snapshot):
            _logger.warning("upstreams.%s takes nobody's place: the server has sent no upstream of that name", name)
        for name, upstream in policy.applied_to(snapshot).upstreams.items():
            if accepts_any_certificate(upstream.targets, upstream.tls):
                _logger.warning("upstreams.%s.tls.verify is false: any certificate is accepted", name)
        return router

    async def aclose(self) -> None:
        """Close every connection to every target."""
        await self._routers.aclose()
