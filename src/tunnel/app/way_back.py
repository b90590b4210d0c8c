"""The way back to a server that is preferred to the one in use.

1. While the server in use is the first of its list there is nothing to do, and nothing is done.
2. Else those before it are dialled every now and then, until one takes a link. It is closed at once: all it shows is
   that the server is there.
3. Then another tunnel is brought up beside the first, which serves until the other does. One that turns out to lead to
   no better server is given up again, and the first has lost nothing.
4. The first takes no new conversations after that, and ends with the last of those it has, however long that takes: no
   operator has asked for this, and nobody is to pay for it.
"""

from __future__ import annotations

from typing import Final

import anyio

from tunnel.app.client_lines import ClientLines
from tunnel.domain.errors import ConfigurationError, LinkError, RegistrationRefused
from tunnel.domain.random_source import RandomSource
from tunnel.ports.clock import Clock
from tunnel.ports.telemetry import ConnectFailed, Telemetry

__all__ = ["WayBack"]

_LOOK_S: Final = 30.0
"""Longest time between two looks, and twice the shortest: a preference is no emergency, and what fell back together is
not to come back at once."""


class WayBack:
    """Brings a client back to the best server that is there.

    Args:
        lines: The client's.
        turn: Held while lines change; whoever else changes them holds it too.
        clock: Time.
        random: Spreads the looks of many clients.
        telemetry: Told of a server that could be reached, and would not do.
    """

    def __init__(
        self, lines: ClientLines, *, turn: anyio.Lock, clock: Clock, random: RandomSource, telemetry: Telemetry
    ) -> None:
        self._lines = lines
        self._turn = turn
        self._clock = clock
        self._random = random
        self._telemetry = telemetry
        self._news = anyio.Event()
        self._scope: anyio.CancelScope | None = None

    def changed(self) -> None:
        """The server in use may be another now."""
        self._news.set()

    def stop(self) -> None:
        """Stay where the client is; a tunnel that is on its way is given up."""
        if self._scope is not None:
            self._scope.cancel()

    async def run(self) -> None:
        """Look for better servers until stopped."""
        with anyio.CancelScope() as self._scope:
            while True:
                while not self._lines.better:
                    self._news = anyio.Event()
                    await self._news.wait()
                await self._clock.sleep(_LOOK_S * (1 + self._random.random()) / 2)
                await self._look()

    async def _look(self) -> None:
        for url in self._lines.better:
            if await self._lines.current.dialer.reaches(url):
                async with self._turn:
                    await self._return(url)
                return

    async def _return(self, url: str) -> None:
        try:
            await self._lines.improve()
        except (RegistrationRefused, ConfigurationError, LinkError) as exc:
            self._telemetry.record(ConnectFailed(url, str(exc), _LOOK_S))
