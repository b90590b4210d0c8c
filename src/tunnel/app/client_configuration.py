"""What a client does with the configurations it is sent: apply them whole, or reject them with the reason."""

from __future__ import annotations

import logging

from tunnel.app.upstream_router import TargetFactory, UpstreamRouter
from tunnel.domain.configuration import GroupSnapshot, TargetPolicy
from tunnel.domain.envelopes import ConfigApplied, ConfigRejected, ConfigSyncResponse
from tunnel.domain.errors import ConfigurationError, ErrorCode, LinkEnd, LinkError, SessionError
from tunnel.domain.limits import MIB
from tunnel.domain.random_source import RandomSource
from tunnel.ports.target import ProxyTarget, Stream
from tunnel.ports.telemetry import ConfigurationApplied, Telemetry

__all__ = ["ClientConfiguration"]

_logger = logging.getLogger("tunnel.configuration")

_MAX_SNAPSHOT_BYTES = 16 * MIB


class ClientConfiguration(ProxyTarget):
    """Holds the router of the snapshot applied last, and handles conversations with it.

    Args:
        policy: What may be dialled.
        target_factory: Makes targets.
        random: For balancing.
        telemetry: Told what was applied.
    """

    def __init__(
        self, policy: TargetPolicy, target_factory: TargetFactory, random: RandomSource, telemetry: Telemetry
    ) -> None:
        self._policy = policy
        self._target_factory = target_factory
        self._random = random
        self._telemetry = telemetry
        self._router: UpstreamRouter | None = None
        self._replaced: list[UpstreamRouter] = []
        self._parts: list[bytes] = []
        self._parts_bytes = 0
        self.hash = ""
        """Of the snapshot applied last; empty before the first."""

    async def handle(self, stream: Stream) -> None:
        if self._router is None:
            raise SessionError(ErrorCode.REFUSED, "this client has no configuration yet")
        await self._router.handle(stream)

    def begin(self) -> None:
        """A new link: parts of a snapshot that its predecessor did not complete are void."""
        self._parts.clear()
        self._parts_bytes = 0

    def take(self, message: ConfigSyncResponse) -> ConfigApplied | ConfigRejected | None:
        """Take in a snapshot or a part of one.

        Returns:
            The answer to the server; None while parts are missing.

        Raises:
            LinkError: ``VIOLATED``: the snapshot is too large.
        """
        self._parts.append(message.snapshot)
        self._parts_bytes += len(message.snapshot)
        if self._parts_bytes > _MAX_SNAPSHOT_BYTES or (message.more and not message.snapshot):
            raise LinkError(LinkEnd.VIOLATED, "the configuration is too large, or has empty parts")
        if message.more:
            return None
        encoded = b"".join(self._parts)
        self._parts.clear()
        self._parts_bytes = 0
        try:
            router = UpstreamRouter(GroupSnapshot.decode(encoded), self._policy, self._target_factory, self._random)
        except ConfigurationError as exc:
            return self._rejected(message, str(exc))
        except Exception as exc:
            # A target's maker is anybody's code. What it cannot make must not end the client.
            _logger.exception("a configuration could not be applied")
            return self._rejected(message, f"could not be applied: {type(exc).__name__}: {exc}")
        if self._router is not None:
            self._replaced.append(self._router)
        self._router = router
        self.hash = message.hash
        self._telemetry.record(ConfigurationApplied(message.version, message.hash))
        return ConfigApplied(message.version, message.hash)

    def _rejected(self, message: ConfigSyncResponse, why: str) -> ConfigRejected:
        self._telemetry.record(ConfigurationApplied(message.version, message.hash, rejected=why))
        return ConfigRejected(message.version, message.hash, why)

    async def discard_replaced(self) -> None:
        """Close the connections of routers that nothing uses any more; called when no session is left."""
        while self._replaced:
            await self._replaced.pop().aclose()

    async def aclose(self) -> None:
        """Close every connection to every target."""
        await self.discard_replaced()
        if self._router is not None:
            await self._router.aclose()
            self._router = None
