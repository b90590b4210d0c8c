"""Where operators come in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import anyio

from tunnel.app.entrance import Entrance
from tunnel.app.listener_tls import follow_tls
from tunnel.domain.configuration import AdminSettings
from tunnel.ports.admin import AdminListener
from tunnel.ports.tls import ListenerTls

__all__ = ["AdminEntrance"]


class AdminEntrance(Entrance):
    """A listener for operators.

    Args:
        settings: What ``listener`` was made of.
        listener: The listener.
        tls: What ``listener`` proves itself with.
    """

    kind = "admin"
    name = "admin"

    def __init__(self, settings: AdminSettings, listener: AdminListener, *, tls: ListenerTls | None = None) -> None:
        self.place = settings.listen
        self.settings: object = (settings, tls and tls.material)
        self._tls = tls
        self._listener = listener
        self._ended = anyio.Event()

    @property
    def address(self) -> str:
        return self._listener.address

    def bind(self) -> None:
        self._listener.bind()

    async def serve(self, started: Callable[[], None]) -> None:
        try:
            await self._listener.serve(started)
        finally:
            self._ended.set()

    def follow(self, successor: Self) -> None:
        self._listener.follow(successor._listener)
        follow_tls(self._tls, successor._tls)
        self.settings = successor.settings

    async def leave(self, grace_s: float) -> bool:
        """Answers take no time worth waiting for, so ``grace_s`` does not matter."""
        self._listener.stop()
        await self._ended.wait()
        return True

    def stop(self) -> None:
        self._listener.stop()
