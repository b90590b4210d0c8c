"""Tells the board and the report what becomes of one exposed target."""

from __future__ import annotations

import time
from collections.abc import Callable

from tunnel.adapters.logging import LoggingTelemetry
from tunnel.app.cli.expose_board import Board, Exposition, Line, State
from tunnel.app.cli.expose_report import Report
from tunnel.app.client import Client
from tunnel.app.container import ClientContainer
from tunnel.app.served_target import ServedSession, ServedTarget
from tunnel.domain.errors import RegistrationRefused
from tunnel.ports.telemetry import ConnectFailed, Event, LinkLost, Telemetry, TunnelReady

__all__ = ["Watch"]


class Watch(Telemetry):
    """Follows one client by what it records, and passes that on to the log.

    Args:
        exposition: The target that the client serves.
        board: Where it is shown.
        report: Told of what happens.
        on_change: Called when the board has changed.
    """

    def __init__(
        self,
        exposition: Exposition,
        board: Board,
        report: Report,
        on_change: Callable[[], None],
    ) -> None:
        self.exposition = exposition
        self._board = board
        self._report = report
        self._on_change = on_change
        self._log = LoggingTelemetry()
        self._client: Client | None = None
        self._told_url = ""

    def container(self) -> ClientContainer:
        """Parts for the client, so that this hears of it; of requests only if anybody wants to."""
        container = ClientContainer()
        container.telemetry.override(self)
        if self._report.wants_requests:
            clock = container.clock()
            container.front.override(
                lambda target: ServedTarget(target, clock=clock, on_begin=self._begun, on_end=self._ended)
            )
        return container

    def follow(self, client: Client) -> None:
        """This is the client."""
        self._client = client

    def record(self, event: Event) -> None:
        if not self._report.hides(event):
            self._log.record(event)
        match event:
            case TunnelReady():
                self._enter(State.CONNECTED)
            case LinkLost(reason=reason):
                self._lost(reason)
            case ConnectFailed(server=server, reason=reason):
                self._lost(f"{server}: {reason}")
            case _:
                pass

    def refused(self, refusal: RegistrationRefused) -> None:
        """The server will have no more of it."""
        self._enter(State.CLOSED, str(refusal))

    def _lost(self, reason: str) -> None:
        connecting = self.exposition.state is State.CONNECTING
        self._enter(State.CONNECTING if connecting else State.RECONNECTING, reason)

    def _enter(self, state: State, reason: str = "") -> None:
        exposition = self.exposition
        grant = None if self._client is None else self._client.claim
        if grant is not None:
            exposition.url = grant.url or ""
        changed = exposition.enter(state, time.time(), reason)
        if changed or exposition.url != self._told_url:
            self._told_url = exposition.url
            self._report.moved(exposition)
        self._on_change()

    def _begun(self) -> None:
        self._board.begin()
        self._on_change()

    def _ended(self, session: ServedSession) -> None:
        line = Line(time.time(), self.exposition.target, session)
        self._board.end(line)
        self._report.request(line)
        self._on_change()
