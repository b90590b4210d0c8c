"""An entry without a listener."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import anyio

from tunnel.ports.ingress import Ingress
from tunnel.ports.target import ProxyTarget

__all__ = ["Door"]


class Door(Ingress):
    """An entry that nobody has to connect to: tests hand their streams to its target."""

    def __init__(self, settings: Any, doors: dict[str, Door]) -> None:
        self.settings = settings
        self.target: ProxyTarget | None = None
        self.drained: list[float] = []
        self._doors = doors
        self._ended = anyio.Event()

    @property
    def name(self) -> str:
        return "http"

    @property
    def address(self) -> str:
        return str(self.settings.listen)

    def bind(self) -> None:
        self._doors[self.address] = self

    async def serve(self, target: ProxyTarget, started: Callable[[], None]) -> None:
        self.target = target
        started()
        await self._ended.wait()

    def follow(self, successor: Self) -> None:
        self.settings = successor.settings

    def drain(self, grace_s: float) -> None:
        self.drained.append(grace_s)
        self._ended.set()
