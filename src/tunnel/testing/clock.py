"""The contract of clocks.

A clock is put under it by a harness that makes one and has its time pass, and the thin class::

    class SundialHarness(ClockHarness):
        def clock(self) -> Clock: ...

    class TestSundial(ClockContract):
        harness = SundialHarness
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Final

import anyio
from hypothesis import strategies as st

from tunnel.ports.clock import Clock
from tunnel.testing.contract import Contract
from tunnel.testing.contract_tests import ContractTests
from tunnel.testing.declared import expect_at_most
from tunnel.testing.harness import Harness
from tunnel.testing.patience import PATIENCE_S

__all__ = ["CLOCK", "ClockContract", "ClockHarness"]


class ClockHarness(Harness, ABC):
    """Makes clocks, inside a running event loop."""

    unit_s: ClassVar[float] = 0.01
    """Seconds that a check waits at a time: long against what the clock is inexact by, and 0.1 at most."""

    slack_s: ClassVar[float] = 0.001
    """Seconds by which the clock may wake somebody early, as timers of an event loop do; a fifth of a unit at most."""

    @abstractmethod
    def clock(self) -> Clock:
        """A new clock."""

    async def pass_time(self, clock: Clock, delta_s: float) -> None:
        """Let ``delta_s`` seconds or a little more pass; by waiting, unless the clock passes otherwise."""
        await anyio.sleep(delta_s)


CLOCK: Final = Contract[ClockHarness]("clock")

FORWARD: Final = CLOCK.state("C-FORWARD", "Time never goes back.")
PASSES: Final = CLOCK.state("C-PASSES", "Time goes on while nobody looks, by as much as passes.")
NOT_EARLY: Final = CLOCK.state("C-NOT-EARLY", "Whoever sleeps is not woken before its time, as the clock itself tells.")
WAKES: Final = CLOCK.state("C-WAKES", "Whoever sleeps is woken when its time has come, in the order of times.")
YIELDS: Final = CLOCK.state("C-YIELDS", "Sleeping for no time or less returns at once, and lets others run before.")
CANCELS: Final = CLOCK.state("C-CANCELS", "A sleep that is cancelled ends at once, and no other with it.")


@CLOCK.shows(FORWARD)
async def time_never_goes_back(harness: ClockHarness) -> None:
    clock = harness.clock()
    seen = clock.now()
    for turn in range(300):
        if turn % 100 == 0:
            await harness.pass_time(clock, harness.unit_s)
        now = clock.now()
        assert now >= seen, f"{now} after {seen}"
        seen = now


@CLOCK.shows(PASSES)
async def time_passes_unobserved(harness: ClockHarness) -> None:
    clock = harness.clock()
    before = clock.now()
    await harness.pass_time(clock, 5 * harness.unit_s)
    passed = clock.now() - before
    assert 5 * harness.unit_s - harness.slack_s <= passed <= PATIENCE_S, f"{passed} s instead of {5 * harness.unit_s}"


_ATTEMPTS: Final = 4

_MOST_UNIT_S: Final = 0.1

_MOST_SLACK_UNITS: Final = 0.2
"""With more, who sleeps for one unit less could not be told from who is inexact."""


async def _woken(harness: ClockHarness, clock: Clock, units: list[int]) -> list[tuple[int, float]]:
    """Has one sleeper for each of ``units``; who woke, in order, and how much later than it asked for."""
    woken: list[tuple[int, float]] = []

    async def sleeper(number: int) -> None:
        due = clock.now() + number * harness.unit_s
        await clock.sleep(number * harness.unit_s)
        woken.append((number, clock.now() - due))

    async with anyio.create_task_group() as sleepers:
        for number in units:
            sleepers.start_soon(sleeper, number)
        await anyio.wait_all_tasks_blocked()
        with anyio.move_on_after(PATIENCE_S):
            while len(woken) < len(units):
                await harness.pass_time(clock, harness.unit_s)
                await anyio.wait_all_tasks_blocked()
        sleepers.cancel_scope.cancel()
    return woken


@CLOCK.shows(NOT_EARLY, drawn=st.lists(st.integers(1, 4), min_size=1, max_size=4))
async def nobody_is_woken_early(harness: ClockHarness, units: list[int]) -> None:
    expect_at_most("unit_s", harness.unit_s, _MOST_UNIT_S)
    expect_at_most("slack_s", harness.slack_s, _MOST_SLACK_UNITS * harness.unit_s)
    for number, late_s in await _woken(harness, harness.clock(), units):
        assert late_s >= -harness.slack_s, f"{-late_s} s too early from {number * harness.unit_s} s of sleep"


@CLOCK.shows(WAKES, drawn=st.lists(st.integers(1, 4), min_size=1, max_size=4, unique=True))
async def everybody_is_woken_in_order(harness: ClockHarness, units: list[int]) -> None:
    # A machine that stalls has several come due at once, for which no order is promised: only who is always wrong is.
    woken: list[int] = []
    for _ in range(_ATTEMPTS):
        woken = [number for number, _ in await _woken(harness, harness.clock(), units)]
        if woken == sorted(units):
            return
    raise AssertionError(f"slept for {units} units and woke as {woken}")


@CLOCK.shows(YIELDS)
async def no_time_is_a_turn_for_others(harness: ClockHarness) -> None:
    clock = harness.clock()
    for delay_s in (0.0, -1.0):
        turns = 0

        async def other() -> None:
            nonlocal turns
            turns += 1

        async with anyio.create_task_group() as others:
            others.start_soon(other)
            with anyio.move_on_after(PATIENCE_S) as waiting:
                for _ in range(3):
                    await clock.sleep(delay_s)
            assert not waiting.cancelled_caught, f"sleep({delay_s}) does not return"
            assert turns, f"sleep({delay_s}) let nobody else run"


_LONG: Final = 20
"""Units that nobody sleeps who was cancelled; who does not hear of it is waited for that long and no longer."""


@CLOCK.shows(CANCELS)
async def one_sleep_is_cancelled_alone(harness: ClockHarness) -> None:
    expected = ["cancelled", "cancelled", "short"]
    # As above, a machine that stalls has all of it come due at once.
    ended: list[str] = []
    for _ in range(_ATTEMPTS):
        ended = await _ended(harness, harness.clock())
        if ended == expected:
            return
    raise AssertionError(f"{ended} in this order instead of {expected}")


async def _ended(harness: ClockHarness, clock: Clock) -> list[str]:
    """Has a short sleep go on while a long one, and one as short, are cancelled; which ended, in order."""
    ended: list[str] = []
    scopes = anyio.CancelScope(), anyio.CancelScope()

    async def cancelled(scope: anyio.CancelScope, units: int) -> None:
        with scope:
            await clock.sleep(units * harness.unit_s)
        ended.append("cancelled")

    async def short() -> None:
        await clock.sleep(3 * harness.unit_s)
        ended.append("short")

    async with anyio.create_task_group() as sleepers:
        for scope, units in zip(scopes, (_LONG, 3), strict=True):
            sleepers.start_soon(cancelled, scope, units)
        sleepers.start_soon(short)
        await anyio.wait_all_tasks_blocked()
        for scope in scopes:
            scope.cancel()
        with anyio.move_on_after(PATIENCE_S):
            while len(ended) < 3:
                await harness.pass_time(clock, harness.unit_s)
                await anyio.wait_all_tasks_blocked()
        sleepers.cancel_scope.cancel()
    return ended


class ClockContract(ContractTests[ClockHarness]):
    """What every clock must do; a subclass says which harness, and may choose the event loop."""

    contract = CLOCK
    examples = 10
