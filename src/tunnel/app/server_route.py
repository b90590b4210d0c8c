"""The way of an entry's conversations to the server: through whichever tunnel is up when they begin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import anyio

from tunnel.app.accounted_target import Destination
from tunnel.app.attempt import Attempt
from tunnel.app.client_visit import ClientVisit
from tunnel.app.tunnel import Tunnel
from tunnel.app.tunnel_target import TunnelTarget
from tunnel.domain.configuration import EntrySettings
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.retries import RetryBudget
from tunnel.domain.tunnel_state import TunnelState
from tunnel.ports.clock import Clock
from tunnel.ports.target import Stream

__all__ = ["ServerRoute"]

_ATTEMPTS: Final = 3
"""As of a group."""


class _Chance(NamedTuple):
    """A tunnel on one of its links: on another it may take what it refused on this one."""

    tunnel: Tunnel
    since: float


class ServerRoute(Destination):
    """Sends each conversation through the client's tunnel; holds it while there is none, for as long as configured.

    A try that failed in a way that allows another (``tunnel.domain.retries``) is repeated on another tunnel, or on the
    same one once it has another link, within a budget; there are up to three in all. One for which the tunnel has no
    room is ``overloaded`` at once. It is what a group is on the server, with one member.

    Args:
        settings: As configured.
        visit: Tells the tunnel there is; None when there is none.
        clock: Time.
    """

    def __init__(self, settings: EntrySettings, visit: Callable[[], ClientVisit | None], clock: Clock) -> None:
        self._settings = settings
        self._visit = visit
        self._clock = clock
        self._waiting = 0
        self._arrival: anyio.Event | None = None
        self._retries: RetryBudget | None = None

    def follow(self, settings: EntrySettings) -> None:
        """Go by other settings from the next conversation on."""
        self._settings = settings

    @property
    def up(self) -> bool:
        """Whether a conversation that begins now would be sent at once, and taken."""
        chance = self._choose(())
        return chance is not None and chance.tunnel.mux.state is TunnelState.ATTACHED

    @property
    def waiting(self) -> int:
        """Conversations that wait for a tunnel."""
        return self._waiting

    def arrived(self) -> None:
        """A tunnel may be up now."""
        if self._arrival is not None:
            self._arrival.set()
            self._arrival = None

    async def handle(self, stream: Stream, attempt: Attempt, leaves: Callable[[ErrorCode], bool] | None = None) -> None:
        """Have the server answer one conversation.

        Args:
            stream: The conversation.
            attempt: Its own, told how it goes.
            leaves: Asked, with how the last try failed, before waiting for another tunnel: whether to fail so instead.
                None: no.

        Raises:
            SessionError: ``no_client``: no tunnel is up; ``overloaded``: too many wait for one; else as the last try
                failed.
        """
        head = stream.head
        retries = self._retries
        if retries is None:
            retries = self._retries = RetryBudget(self._clock.now())
        retries.requests += 1
        tried: tuple[_Chance, ...] = ()
        failure: SessionError | None = None
        while True:
            chance = self._choose(tried)
            if chance is None:
                if failure is not None and leaves is not None and leaves(failure.code):
                    raise failure
                chance = await self._wait(tried, failure)
            try:
                await TunnelTarget(chance.tunnel, attempt).handle(stream)
            except SessionError as exc:
                tried = (*tried, chance)
                if len(tried) == _ATTEMPTS or not attempt.may_begin_again(head, exc.code):
                    raise
                if attempt.started and not retries.spend(self._clock.now()):
                    raise
                failure = exc
            else:
                return

    def _choose(self, tried: tuple[_Chance, ...]) -> _Chance | None:
        visit = self._visit()
        if visit is None or visit.ready_since is None:
            return None
        chance = _Chance(visit.tunnel, visit.ready_since)
        return None if chance in tried else chance

    async def _wait(self, tried: tuple[_Chance, ...], failure: SessionError | None) -> _Chance:
        """A tunnel, as soon as there is one that can be asked.

        Raises:
            SessionError: There was none in time, or there is no room for waiting; or the one there is has no room.
        """
        if failure is not None and failure.code is ErrorCode.OVERLOADED:
            raise failure
        chosen = None
        patience_s = self._settings.wait_for_server_s
        full = self._waiting >= self._settings.max_waiting
        if patience_s > 0 and not full:
            self._waiting += 1
            try:
                with anyio.move_on_after(patience_s):
                    while chosen is None:
                        if self._arrival is None:
                            self._arrival = anyio.Event()
                        await self._arrival.wait()
                        chosen = self._choose(tried)
            finally:
                self._waiting -= 1
        if chosen is not None:
            return chosen
        if failure is not None and failure.code is not ErrorCode.REFUSED:
            raise failure
        if patience_s > 0 and full:
            raise SessionError(ErrorCode.OVERLOADED, "too many requests wait for a tunnel to the server")
        raise SessionError(ErrorCode.NO_CLIENT, "no tunnel to the server is up")
