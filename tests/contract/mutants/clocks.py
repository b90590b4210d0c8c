"""Clocks with one mistake each. Their twin is that of the event loop, which keeps every rule."""

from __future__ import annotations

from functools import partial
from typing import Final

import anyio

from tunnel.adapters.clock import AnyioClock
from tunnel.ports.clock import Clock
from tunnel.testing import clock as rules
from tunnel.testing.clock import CLOCK, ClockHarness
from tunnel.testing.event_loops import VIRTUAL
from tunnel.testing.mutants import Mutant


class Stumbling(AnyioClock):
    """Is a little behind when it is asked for the 250th time."""

    looks = 0

    def now(self) -> float:
        self.looks += 1
        return super().now() - (0.005 if self.looks == 250 else 0.0)


class Dozing(AnyioClock):
    """Goes on by no more than 45 ms between two looks."""

    shown = float("inf")

    def now(self) -> float:
        self.shown = min(super().now(), self.shown + 0.045)
        return self.shown


class Impatient(AnyioClock):
    """Sleeps for half the time."""

    async def sleep(self, delay_s: float) -> None:
        await super().sleep(delay_s / 2)


class Oversleeping(AnyioClock):
    """Sleeps for two units as if they were seven."""

    async def sleep(self, delay_s: float) -> None:
        await super().sleep(0.07 if delay_s == 0.02 else delay_s)


class Unyielding(AnyioClock):
    """Lets nobody run when there is no time to sleep."""

    async def sleep(self, delay_s: float) -> None:
        if delay_s > 0:
            await super().sleep(delay_s)


class Deaf(AnyioClock):
    """Sleeps on when it is cancelled."""

    async def sleep(self, delay_s: float) -> None:
        with anyio.CancelScope(shield=True):
            await super().sleep(delay_s)


class _Harness(ClockHarness):
    def __init__(self, made: type[Clock], **declared: float) -> None:
        self._made = made
        vars(self).update(declared)

    def clock(self) -> Clock:
        return self._made()


TWINS: Final = (partial(_Harness, AnyioClock),)

MUTANTS: Final = (
    *(
        Mutant(name, CLOCK, rule, partial(_Harness, made), VIRTUAL)
        for name, rule, made in (
            ("goes back once", rules.FORWARD, Stumbling),
            ("stands still while nobody looks", rules.PASSES, Dozing),
            ("wakes in half the time", rules.NOT_EARLY, Impatient),
            ("sleeps too long for some times", rules.WAKES, Oversleeping),
            ("lets nobody run before it returns at once", rules.YIELDS, Unyielding),
            ("does not hear of being cancelled", rules.CANCELS, Deaf),
        )
    ),
    # Figures too high.
    Mutant(
        "wakes in half the time, and is said to be so inexact",
        CLOCK,
        rules.NOT_EARLY,
        partial(_Harness, Impatient, slack_s=1.0),
        VIRTUAL,
    ),
    Mutant(
        "is said to need longer than anybody waits",
        CLOCK,
        rules.NOT_EARLY,
        partial(_Harness, AnyioClock, unit_s=0.5),
        VIRTUAL,
    ),
)
