"""A clock that stands still until it is told to go on."""

from __future__ import annotations

import math
import time

import anyio
import pytest

from tunnel.testing.manual_clock import ManualClock

pytest_plugins = ["tunnel.testing.fixtures"]
pytestmark = pytest.mark.anyio


async def test_time_stands_still_until_it_is_advanced(manual_clock: ManualClock):
    assert manual_clock.now() == 0

    await manual_clock.advance(2.5)

    assert manual_clock.now() == 2.5


async def test_sleepers_wake_in_order_of_their_time_and_see_it(manual_clock: ManualClock):
    woken: list[tuple[str, float]] = []

    async def sleep(name: str, delay_s: float) -> None:
        await manual_clock.sleep(delay_s)
        woken.append((name, manual_clock.now()))

    async with anyio.create_task_group() as tasks:
        for name, delay_s in (("c", 3.0), ("a", 1.0), ("b", 1.0)):
            tasks.start_soon(sleep, name, delay_s)
            await anyio.wait_all_tasks_blocked()
        await manual_clock.advance(2)
        assert woken == [("a", 1.0), ("b", 1.0)]
        assert manual_clock.sleeping == 1
        assert manual_clock.next_wake_s == 3.0
        await manual_clock.advance(1)

    assert woken == [("a", 1.0), ("b", 1.0), ("c", 3.0)]
    assert manual_clock.next_wake_s is None


async def test_loop_that_sleeps_runs_once_for_each_time(manual_clock: ManualClock):
    seen: list[float] = []

    async def beat() -> None:
        while True:
            await manual_clock.sleep(1)
            seen.append(manual_clock.now())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(beat)
        await manual_clock.advance(10)
        tasks.cancel_scope.cancel()

    assert seen == list(range(1, 11))


async def test_sleeping_no_time_lets_others_run(manual_clock: ManualClock):
    ran = anyio.Event()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_set, ran)
        while not ran.is_set():
            await manual_clock.sleep(-1)

    assert manual_clock.now() == 0


async def _set(event: anyio.Event) -> None:
    event.set()


async def test_cancelled_sleeper_is_forgotten(manual_clock: ManualClock):
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(manual_clock.sleep, 5)
        await manual_clock.advance(1)
        tasks.cancel_scope.cancel()

    assert manual_clock.sleeping == 0
    await manual_clock.advance(10)


@pytest.mark.parametrize("delta_s", [-1, math.inf, math.nan])
async def test_clock_never_goes_back_nor_for_ever(manual_clock: ManualClock, delta_s: float):
    with pytest.raises(ValueError, match="expected a number of seconds"):
        await manual_clock.advance(delta_s)


async def test_hours_take_an_instant_on_an_ordinary_loop(manual_clock: ManualClock):
    started_at = time.monotonic()
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            await manual_clock.sleep(60)
            beats += 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(beat)
        await manual_clock.advance(3600)
        tasks.cancel_scope.cancel()

    assert beats == 60
    # A tenth of a second each would be six.
    assert time.monotonic() - started_at < 5
