"""A client as operators see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import tunnel
from tunnel.app.client_line import ClientLine
from tunnel.app.client_visit import ClientVisit
from tunnel.app.entrances import Entrances
from tunnel.app.redaction import redacted
from tunnel.app.tunnel_load import TunnelLoad, tunnel_view
from tunnel.domain.configuration import ClientSettings
from tunnel.domain.metrics import Counters
from tunnel.domain.mux.budget import Budget
from tunnel.domain.registry import Attachment
from tunnel.domain.tunnel_state import TunnelState
from tunnel.ports.clock import Clock
from tunnel.ports.inspection import (
    ClientInspection,
    Measurement,
    ProcessLoad,
    Readiness,
    Stats,
    Status,
    TunnelView,
)

__all__ = ["ClientParts", "InspectedClient"]


class ClientParts(NamedTuple):
    """What there is to look at."""

    lines: Callable[[], tuple[ClientLine, ...]]
    entrances: Entrances
    waiting: Callable[[], int]
    """Conversations of entries that wait for a tunnel."""
    budget: Budget
    counters: Counters
    clock: Clock
    process: Callable[[], ProcessLoad]


class InspectedClient(ClientInspection):
    """Reads what the parts of a client know.

    Args:
        parts: The parts.
        settings: Tells the settings in force and their version.
        phase: Tells why no server sends conversations here; empty when one does.
    """

    def __init__(
        self, parts: ClientParts, *, settings: Callable[[], tuple[ClientSettings, int]], phase: Callable[[], str]
    ) -> None:
        self._parts = parts
        self._settings = settings
        self._phase = phase
        self._started_at = parts.clock.now()

    def readiness(self) -> Readiness:
        return self._parts.entrances.readiness(self._phase())

    async def status(self) -> Status:
        parts = self._parts
        settings, settings_version = self._settings()
        readiness = self.readiness()
        visits = self._visits()
        return Status(
            kind="client",
            version=tunnel.__version__,
            uptime_s=parts.clock.now() - self._started_at,
            settings_version=settings_version,
            ready=readiness.ready,
            reasons=readiness.reasons,
            listeners=parts.entrances.views(),
            clients=0,
            tunnels=len(visits),
            sessions=sum(each.tunnel.mux.session_count for each, _ in visits),
            groups=self._served(settings),
            client_id=settings.client_id,
            url=self._url(),
            routes=parts.counters.routes.read(),
        )

    def _served(self, settings: ClientSettings) -> tuple[str, ...]:
        """The group, or that of the claim once it is granted."""
        if settings.group is not None:
            return (settings.group,)
        granted = [line.claim.next for line in self._parts.lines() if line.claim is not None and line.claim.grant]
        return tuple(dict.fromkeys(claim.group for claim in granted))

    def _url(self) -> str | None:
        grants = [line.claim.grant for line in self._parts.lines() if line.claim is not None]
        return next((grant.url for grant in grants if grant is not None), None)

    async def stats(self) -> Stats:
        return (await self._held())[0]

    async def _held(self) -> tuple[Stats, TunnelLoad]:
        parts = self._parts
        tunnels = [each.tunnel for each, _ in self._visits()]
        load = TunnelLoad()
        await load.add(tunnels)
        stats = load.stats(
            links=sum(each.peer is not None for each in tunnels),
            waiting_requests=parts.waiting(),
            budget=parts.budget,
            process=parts.process(),
        )
        return stats, load

    async def measure(self) -> Measurement:
        parts = self._parts
        stats, load = await self._held()
        return Measurement(
            readiness=self.readiness(),
            version=tunnel.__version__,
            settings_version=self._settings()[1],
            listeners=parts.entrances.views(),
            stats=stats,
            budget_bytes=parts.budget.limit_bytes,
            groups=(),
            round_trips_s=tuple(load.round_trips_s),
        )

    async def config(self) -> Mapping[str, object]:
        return redacted(self._settings()[0])

    async def tunnels(self) -> tuple[TunnelView, ...]:
        return tuple(
            tunnel_view(
                each.tunnel,
                tunnel_id=each.tunnel_id,
                state=_state(each.tunnel.mux.state),
                published=each.ready_since is not None,
                # Only the server counts them.
                config_version=0,
                config_hash=config_hash,
            )
            for each, config_hash in self._visits()
        )

    def _visits(self) -> list[tuple[ClientVisit, str]]:
        """Tunnels that are not over, each with the hash of its configuration."""
        visits = [(line.dialer.visit, line.configuration.hash) for line in self._parts.lines()]
        return [(visit, config_hash) for visit, config_hash in visits if visit is not None]


def _state(state: TunnelState) -> str:
    if state is TunnelState.DETACHED or state is TunnelState.DETACHED_DRAINING:
        return Attachment.DETACHED.value
    return Attachment.DRAINING.value if state is TunnelState.DRAINING else Attachment.ATTACHED.value
