"""One task at a time, at little cost where no other waits."""

from __future__ import annotations

from collections import deque

from tunnel.ports.signal import Signal, SignalFactory

__all__ = ["Turn"]


class Turn:
    """Lets one task at a time into its context. Those who came first are first.

    Args:
        signals: Makes what the others wait with.
    """

    __slots__ = ("_signals", "_taken", "_waiting")

    def __init__(self, signals: SignalFactory) -> None:
        self._signals = signals
        self._taken = False
        self._waiting: deque[Signal] = deque()

    async def __aenter__(self) -> None:
        if not self._taken:
            self._taken = True
            return
        mine = self._signals()
        self._waiting.append(mine)
        try:
            await mine.wait()
        except BaseException:
            if mine in self._waiting:
                self._waiting.remove(mine)
            else:
                self._pass_on()  # it was given the turn in the moment it was cancelled
            raise

    async def __aexit__(self, *_: object) -> None:
        self._pass_on()

    def _pass_on(self) -> None:
        if self._waiting:
            self._waiting.popleft().notify()
        else:
            self._taken = False
