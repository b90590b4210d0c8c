"""Keeps what runs in step with where its settings are kept."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import anyio
import anyio.to_thread

from tunnel.domain.errors import TunnelError
from tunnel.ports.config_source import ConfigSource
from tunnel.ports.telemetry import ConfigurationReloaded, Telemetry

__all__ = ["Reloader"]

_logger = logging.getLogger("tunnel.configuration")

S = TypeVar("S")


class Reloader(Generic[S]):
    """Loads settings again when their source has changed, or when told to, and has them followed.

    Settings that are wrong, or cannot be followed, are reported once and change nothing; the next change is another
    chance.

    Args:
        source: Where the settings are kept; those in force were loaded from it.
        follow: Puts settings in force, whole, and returns their version.
        telemetry: Told of every reload, done or refused.
    """

    def __init__(self, source: ConfigSource[S], follow: Callable[[S], Awaitable[int]], telemetry: Telemetry) -> None:
        self._source = source
        self._follow = follow
        self._telemetry = telemetry
        self._told = anyio.Event()
        self._version = 1

    def tell(self) -> None:
        """Load the settings again soon, changed or not."""
        self._told.set()

    async def run(self) -> None:
        """Reload whenever there is a reason to, until cancelled."""
        while True:
            await self._reason()
            self._told = anyio.Event()
            error = await self._reload()
            self._telemetry.record(ConfigurationReloaded(self._source.name, self._version, error))

    async def _reason(self) -> None:
        async with anyio.create_task_group() as tasks:

            async def changed() -> None:
                await self._source.changed()
                tasks.cancel_scope.cancel()

            tasks.start_soon(changed)
            await self._told.wait()
            tasks.cancel_scope.cancel()

    async def _reload(self) -> str:
        """Why nothing changed; empty when the settings are in force."""
        try:
            # Parsing a large file takes seconds.
            settings = await anyio.to_thread.run_sync(self._source.load, abandon_on_cancel=True)
            self._version = await self._follow(settings)
        except TunnelError as exc:
            return str(exc)
        except Exception as exc:
            # Whatever is wrong with the new settings, it must not take down what runs by the old ones.
            _logger.exception("settings could not be reloaded")
            return f"an unforeseen {type(exc).__name__}: {exc}"
        return ""
