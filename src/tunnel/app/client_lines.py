"""The line that a client has, and how it changes over to another."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Final

import anyio
import msgspec

from tunnel.app.background import Background
from tunnel.app.client_line import ClientLine, refused_snapshot
from tunnel.app.line_maker import LineMaker
from tunnel.domain.configuration import ClientSettings
from tunnel.domain.errors import ConfigurationError, LinkEnd, LinkError

__all__ = ["ClientLines"]

_MAX_LINES: Final = 4
"""From which on no better server is looked for: each line but one waits for conversations that go on and on."""


class ClientLines:
    """Keeps one line, and while it follows other settings or sees the former off, more than one. Iterates over all.

    Args:
        settings: Of the first line, with a token and a ``client_id``.
        maker: Makes lines.
        background: Where they run, once entered.
        on_change: Called when changing over has come to its end, well or not.

    Raises:
        ConfigurationError: No transport serves a server's scheme, or a file that TLS needs is missing or wrong.
    """

    def __init__(
        self, settings: ClientSettings, *, maker: LineMaker, background: Background, on_change: Callable[[], None]
    ) -> None:
        self._maker = maker
        self._background = background
        self._on_change = on_change
        self.current = maker.make(settings)
        """The line that conversations take."""
        self._all = {self.current}
        self._changing = False

    def __iter__(self) -> Iterator[ClientLine]:
        return iter(tuple(self._all))

    @property
    def over(self) -> bool:
        """Whether the line has ended and no other is on its way.

        One that is refused while another comes up does not end the client: the other may be the remedy.
        """
        return self.current.over and not self._changing

    def run(self) -> None:
        """Have the first line keep its tunnel up, in the background."""
        self._background.tasks.start_soon(self.current.run)

    async def aclose(self) -> None:
        """End all of them at once."""
        # A reload that fails at this moment takes its line out.
        for line in self:
            await line.aclose()

    @property
    def better(self) -> tuple[str, ...]:
        """Servers preferred to the one in use; none while there is none, or while too many lines are being seen off."""
        return self.current.better if len(self._all) < _MAX_LINES else ()

    async def improve(self) -> None:
        """Go on with a better server: with another line, once that is ready.

        The former has its conversations finish, however long they take. An error, or being cancelled, leaves everything
        as it was.

        Raises:
            ConfigurationError: The configuration that the server has sent is refused.
            RegistrationRefused: The server will not have this client.
            LinkError: ``UNREACHABLE``: there was no tunnel to a better one in time; ``CLOSED``: the other line ended
                otherwise.
        """
        if better := self.better:
            await self._change_over(self.current.settings, better=better, grace_s=math.inf)

    async def follow(self, settings: ClientSettings) -> None:
        """Go on by other settings: with the line there is if that can, else with another, once that is ready.

        An error, or being cancelled, leaves everything as it was.

        Raises:
            ConfigurationError: They cannot be followed, or the configuration that the server has sent is refused
                under them.
            RegistrationRefused: The server will not have this client under them.
            LinkError: ``UNREACHABLE``: there was no tunnel in time, though under the old settings there is one;
                ``CLOSED``: the other line ended otherwise.
        """
        if self._in_place(settings):
            self._follow(settings)
        else:
            await self._change_over(settings, grace_s=self.current.settings.limits.drain_s)

    def _in_place(self, settings: ClientSettings) -> bool:
        """Whether the line there is can go on under ``settings``."""
        here = self.current.settings
        moved = msgspec.structs.replace(
            settings,
            allow_targets=here.allow_targets,
            upstreams=here.upstreams,
            admin=here.admin,
            entry=here.entry,
            fallback=here.fallback,
            tls=here.tls,
        )
        return moved == here and self.current.configuration.rejection is None

    def _follow(self, settings: ClientSettings) -> None:
        # Files may hold other certificates than before, though they have the same names.
        transports = self._maker.transports(settings) if settings.servers_with_tls else None
        self._follow_policy(settings)
        if transports is not None:
            self.current.dialer.dial_with(transports)
        self.current.settings = settings

    def _follow_policy(self, settings: ClientSettings) -> None:
        here = self.current.settings
        if (settings.allow_targets, settings.upstreams) == (here.allow_targets, here.upstreams):
            return
        try:
            self.current.configuration.follow(settings.policy())
        except ConfigurationError as exc:
            raise refused_snapshot(exc) from exc

    async def _change_over(
        self, settings: ClientSettings, *, grace_s: float, better: tuple[str, ...] | None = None
    ) -> None:
        """Replace the line by another, once that is ready; with ``better`` only by one to these servers."""
        line = self._maker.make(settings, self.current)
        self._all.add(line)
        self._changing = True
        self._background.tasks.start_soon(line.run)
        try:
            await self._establish(line)
            if better is not None and not line.serves(better):
                raise LinkError(LinkEnd.UNREACHABLE, "it can be reached, and no tunnel to it came up")
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._see_off(line, 0)
            raise
        else:
            before, self.current = self.current, line
            self._background.tasks.start_soon(self._see_off, before, grace_s)
        finally:
            self._changing = False
            self._on_change()

    async def _establish(self, line: ClientLine) -> None:
        limits = line.settings.limits
        patience_s = limits.connect_s * len(line.settings.servers) + limits.handshake_s
        with anyio.move_on_after(patience_s) as scope:
            await line.established()
        if scope.cancelled_caught and self.current.ready:
            raise LinkError(
                LinkEnd.UNREACHABLE, f"no server took this client within {patience_s:g} s; it stays where it is"
            )
        # With neither ready there is nothing to lose, and the newer settings are what is wanted.

    async def _see_off(self, line: ClientLine, grace_s: float) -> None:
        await line.leave(grace_s)
        await line.aclose()
        self._all.discard(line)
