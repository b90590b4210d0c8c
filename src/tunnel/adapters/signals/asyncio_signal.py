"""Signals on asyncio and uvloop."""

from __future__ import annotations

import asyncio

from tunnel.ports.signal import Signal

__all__ = ["AsyncioSignal"]


class AsyncioSignal(Signal):
    """A future for each wait: a fifth of what a portable event costs, which is paid for every conversation."""

    __slots__ = ("_future",)

    def __init__(self) -> None:
        self._future: asyncio.Future[None] | None = None

    def notify(self) -> None:
        future = self._future
        if future is not None:
            self._future = None
            if not future.done():
                future.set_result(None)

    async def wait(self) -> None:
        future = self._future = asyncio.get_running_loop().create_future()
        try:
            await future
        finally:
            if self._future is future:
                self._future = None
