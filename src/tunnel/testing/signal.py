"""The contract of signals.

A signal is put under it by a harness that makes one, and the thin class::

    class BellHarness(SignalHarness):
        signal = Bell

    class TestBell(SignalContract):
        harness = BellHarness
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar, Final

import anyio
import anyio.abc

from tunnel.ports.signal import Signal, SignalFactory
from tunnel.testing.contract import Contract
from tunnel.testing.contract_tests import ContractTests
from tunnel.testing.harness import Harness

__all__ = ["SIGNAL", "SignalContract", "SignalHarness"]


class SignalHarness(Harness):
    """Makes signals of one kind."""

    signal: ClassVar[SignalFactory]
    """Makes a new one, inside a running event loop."""

    def make(self) -> Signal:
        """A new signal."""
        return type(self).signal()


SIGNAL: Final = Contract[SignalHarness]("signal")

WAKES: Final = SIGNAL.state("S-WAKES", "A notification wakes the task that waits, each time anew.")
FORGETS: Final = SIGNAL.state("S-FORGETS", "A notification that nobody waits for is forgotten, and does no harm.")
ONCE: Final = SIGNAL.state("S-ONCE", "Notifications before the waiter has run are one; its next wait needs another.")
CANCELS: Final = SIGNAL.state("S-CANCELS", "A wait that is cancelled leaves no trace: the next one works as the first.")


class _Waiter:
    """A task that waits again and again, and counts how often it was woken."""

    def __init__(self, signal: Signal, tasks: anyio.abc.TaskGroup) -> None:
        self._signal = signal
        self._tasks = tasks
        self._scope = anyio.CancelScope()
        self.woken = 0

    async def begin(self) -> None:
        self._tasks.start_soon(self._wait)
        await anyio.wait_all_tasks_blocked()

    def cancel(self) -> None:
        self._scope.cancel()

    async def _wait(self) -> None:
        with self._scope:
            while True:
                await self._signal.wait()
                self.woken += 1


@asynccontextmanager
async def _tasks() -> AsyncIterator[anyio.abc.TaskGroup]:
    async with anyio.create_task_group() as tasks:
        try:
            yield tasks
        finally:
            tasks.cancel_scope.cancel()


@SIGNAL.shows(WAKES)
async def each_wait_is_woken(harness: SignalHarness) -> None:
    signal = harness.make()
    async with _tasks() as tasks:
        waiter = _Waiter(signal, tasks)
        await waiter.begin()
        for number in range(1, 4):
            signal.notify()
            await anyio.wait_all_tasks_blocked()
            assert waiter.woken == number, f"woken {waiter.woken} times by {number} notifications"


@SIGNAL.shows(FORGETS)
async def early_notifications_are_forgotten(harness: SignalHarness) -> None:
    signal = harness.make()
    signal.notify()
    signal.notify()
    async with _tasks() as tasks:
        waiter = _Waiter(signal, tasks)
        await waiter.begin()
        assert not waiter.woken, "a notification was remembered"


@SIGNAL.shows(ONCE)
async def notifications_in_a_row_wake_once(harness: SignalHarness) -> None:
    signal = harness.make()
    async with _tasks() as tasks:
        waiter = _Waiter(signal, tasks)
        await waiter.begin()
        for _ in range(3):
            signal.notify()
        await anyio.wait_all_tasks_blocked()
        assert waiter.woken <= 1, f"woken {waiter.woken} times at once"


@SIGNAL.shows(CANCELS)
async def cancelled_waits_leave_no_trace(harness: SignalHarness) -> None:
    signal = harness.make()
    async with _tasks() as tasks:
        for notified in (False, True):
            cancelled = _Waiter(signal, tasks)
            await cancelled.begin()
            cancelled.cancel()
            if notified:
                signal.notify()
            await anyio.wait_all_tasks_blocked()
            waiter = _Waiter(signal, tasks)
            await waiter.begin()
            assert waiter.woken == 0, "woken by what came before it waited"
            signal.notify()
            await anyio.wait_all_tasks_blocked()
            assert waiter.woken, "not woken after a wait that was cancelled"
            waiter.cancel()
            await anyio.wait_all_tasks_blocked()


class SignalContract(ContractTests[SignalHarness]):
    """What every signal must do; a subclass says which harness, and may choose the event loop."""

    contract = SIGNAL
