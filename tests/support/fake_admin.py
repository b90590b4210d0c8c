"""An admin port that nobody can connect to, for tests of those who have one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio

from tunnel.domain.configuration import AdminSettings
from tunnel.ports.admin import AdminListener

__all__ = ["FakeAdmin"]


class FakeAdmin(AdminListener):
    """Keeps what it would show, and notes what is done with it."""

    def __init__(self, settings: AdminSettings, inspection: Any) -> None:
        self.settings = settings
        self.inspection: Any = inspection
        self.open = False
        self._stop = anyio.Event()

    @property
    def address(self) -> str:
        return self.settings.listen

    def bind(self) -> None:
        pass

    async def serve(self, started: Callable[[], None]) -> None:
        if self._stop.is_set():
            return
        self.open = True
        started()
        try:
            await self._stop.wait()
        finally:
            self.open = False

    def follow(self, successor: FakeAdmin) -> None:  # type: ignore[override]
        self.settings = successor.settings

    def stop(self) -> None:
        self._stop.set()
