"""Signals on whatever event loop runs."""

from __future__ import annotations

import anyio

from tunnel.ports.signal import Signal

__all__ = ["AnyioSignal"]


class AnyioSignal(Signal):
    """An event made anew for each wait."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event: anyio.Event | None = None

    def notify(self) -> None:
        event = self._event
        if event is not None:
            self._event = None
            event.set()

    async def wait(self) -> None:
        event = self._event = anyio.Event()
        try:
            await event.wait()
        finally:
            if self._event is event:
                self._event = None
