"""Signals with one mistake each. Their twin is that of any event loop, which keeps every rule."""

from __future__ import annotations

from typing import Final

import anyio
import anyio.lowlevel

from tunnel.adapters.signals import AnyioSignal
from tunnel.testing import signal as rules
from tunnel.testing.mutants import Mutant
from tunnel.testing.signal import SIGNAL, SignalHarness


class Tiring(AnyioSignal):
    """Wakes twice, and never again."""

    woken = 0

    async def wait(self) -> None:
        await super().wait()
        self.woken += 1
        if self.woken > 2:
            await anyio.sleep_forever()


class Remembering(AnyioSignal):
    """Keeps a notification for the first who waits."""

    early = waited = False

    def notify(self) -> None:
        self.early = not self.waited
        super().notify()

    async def wait(self) -> None:
        early, self.early, self.waited = self.early, False, True
        if not early:
            await super().wait()


class Counting(AnyioSignal):
    """Wakes as often as it was notified since the first wait."""

    owed = -1

    def notify(self) -> None:
        self.owed += self._event is None and self.owed >= 0
        super().notify()

    async def wait(self) -> None:
        if self.owed > 0:
            self.owed -= 1
            return await anyio.lowlevel.checkpoint()
        self.owed = 0
        return await super().wait()


class Haunted(AnyioSignal):
    """Takes a wait that was cancelled for one that was notified."""

    cancelled = False

    async def wait(self) -> None:
        if self.cancelled:
            self.cancelled = False
            return
        try:
            await super().wait()
        except anyio.get_cancelled_exc_class():
            self.cancelled = True
            raise


def _maker(made: type[AnyioSignal]) -> type[SignalHarness]:
    return type(made.__name__, (SignalHarness,), {"signal": made})


TWINS: Final = (_maker(AnyioSignal),)

MUTANTS: Final = tuple(
    Mutant(name, SIGNAL, rule, _maker(made), "trio")
    for name, rule, made in (
        ("wakes no more than twice", rules.WAKES, Tiring),
        ("remembers a notification that nobody waited for", rules.FORGETS, Remembering),
        ("wakes once for each notification", rules.ONCE, Counting),
        ("wakes at once after a wait that was cancelled", rules.CANCELS, Haunted),
    )
)
