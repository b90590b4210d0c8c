"""Waiting for what happens once, at little cost where nobody waits."""

from __future__ import annotations

import anyio.lowlevel

from tunnel.ports.signal import Signal, SignalFactory

__all__ = ["Latch"]


class Latch:
    """Something that happens once. Any number of tasks may wait for it.

    Args:
        signals: Makes what they wait with.
    """

    __slots__ = ("_signals", "_waiting", "is_set")

    def __init__(self, signals: SignalFactory) -> None:
        self._signals = signals
        self._waiting: list[Signal] = []
        self.is_set = False
        """Whether it has happened."""

    def set(self) -> None:
        """It has happened; without effect when it had before."""
        self.is_set = True
        for waiting in self._waiting:
            waiting.notify()

    async def wait(self) -> None:
        """Return when it has happened. Others run meanwhile, even if it has already."""
        if self.is_set:
            await anyio.lowlevel.checkpoint()
            return
        mine = self._signals()
        self._waiting.append(mine)
        try:
            await mine.wait()
        finally:
            self._waiting.remove(mine)
