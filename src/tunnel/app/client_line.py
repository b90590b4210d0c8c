"""One way of being connected: a client's settings, the tunnels that they lead to, and what came over these."""

from __future__ import annotations

from collections.abc import Callable

import anyio

from tunnel.app.asked_claim import AskedClaim
from tunnel.app.client_configuration import ClientConfiguration
from tunnel.app.dialer import Dialer
from tunnel.domain.configuration import ClientSettings
from tunnel.domain.errors import ConfigurationError, LinkEnd, LinkError, RegistrationRefused

__all__ = ["ClientLine"]


class ClientLine:
    """Runs a dialer, and tells what became of it.

    A client has one; while it changes over to other settings, two.

    Args:
        settings: That it was made of, or follows by now.
        on_change: Called when it is ready, not any more, or over.
    """

    configuration: ClientConfiguration
    dialer: Dialer
    claim: AskedClaim | None = None

    def __init__(self, settings: ClientSettings, on_change: Callable[[], None]) -> None:
        self.settings = settings
        self._on_change = on_change
        self._news = anyio.Event()
        self._scope: anyio.CancelScope | None = None
        self.ready = False
        """Whether the server sends conversations here."""
        self.over = False
        """Whether it has ended."""
        self.refusal: RegistrationRefused | None = None
        """Why it has, when that was the server's doing."""

    @property
    def better(self) -> tuple[str, ...]:
        """Servers preferred to the one that sends conversations here; none while none does."""
        visit = self.dialer.visit
        servers = self.settings.servers
        return servers[: servers.index(visit.url)] if self.ready and visit is not None else ()

    def serves(self, servers: tuple[str, ...]) -> bool:
        """Whether one of ``servers`` sends conversations here."""
        visit = self.dialer.visit
        return self.ready and visit is not None and visit.url in servers

    def on_ready(self, ready: bool) -> None:
        """What the dialer calls."""
        self.ready = ready
        self.changed()

    def changed(self) -> None:
        """Wake whoever waits for news of it."""
        news, self._news = self._news, anyio.Event()
        news.set()
        self._on_change()

    async def run(self) -> None:
        """Keep a tunnel up until drained, closed, or refused for good."""
        try:
            with anyio.CancelScope() as self._scope:
                await self.dialer.run()
        except RegistrationRefused as exc:
            self.refusal = exc
        finally:
            self.over = True
            self.changed()

    async def established(self) -> None:
        """Return once it is ready; waits for that.

        Raises:
            RegistrationRefused: The server will not have this client.
            ConfigurationError: This client will not have what the server sends.
            LinkError: ``CLOSED``: it ended otherwise.
        """
        while not self.ready:
            if self.refusal is not None:
                raise self.refusal
            if self.configuration.rejection is not None:
                raise refused_snapshot(self.configuration.rejection)
            if self.over:
                raise LinkError(LinkEnd.CLOSED, "the client was closed")
            await self._news.wait()

    async def finish(self, grace_s: float) -> None:
        """Let conversations under way finish within ``grace_s`` seconds; ``leave`` comes next."""
        await self.dialer.finish(grace_s)

    async def leave(self, grace_s: float) -> None:
        """Let conversations under way finish within ``grace_s`` seconds, then end."""
        await self.dialer.drain(grace_s)
        self._stop()

    async def aclose(self) -> None:
        """End at once, and close every connection to every target."""
        self._stop()
        await self.configuration.aclose()

    def _stop(self) -> None:
        if self._scope is not None:
            self._scope.cancel()


def refused_snapshot(why: ConfigurationError) -> ConfigurationError:
    """The error for settings under which the configuration that the server has sent would be refused."""
    return ConfigurationError(
        f"expected to permit what the server has sent, which is refused: {why}", key_path="allow_targets"
    )
