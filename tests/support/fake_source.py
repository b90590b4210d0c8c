"""Settings in memory, for tests of those who follow a file."""

from __future__ import annotations

from typing import Generic, TypeVar

import anyio
import anyio.lowlevel

from tunnel.ports.config_source import ConfigSource

__all__ = ["FakeSource"]

S = TypeVar("S")


class FakeSource(ConfigSource[S], Generic[S]):
    """Settings are one value; ``put`` changes them, or what loading them raises.

    Args:
        value: What they are at first.
    """

    def __init__(self, value: S | Exception) -> None:
        self.loads = 0
        self._value = value
        self._seen = value
        self._news = anyio.Event()

    @property
    def name(self) -> str:
        return "settings.toml"

    def put(self, value: S | Exception) -> None:
        self._value = value
        self._news.set()
        self._news = anyio.Event()

    def load(self) -> S:
        self.loads += 1
        self._seen = self._value
        if isinstance(self._value, Exception):
            raise self._value
        return self._value

    async def changed(self) -> None:
        await anyio.lowlevel.checkpoint()
        while self._value is self._seen:
            await self._news.wait()
        self._seen = self._value
