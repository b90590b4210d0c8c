from __future__ import annotations

import anyio
import anyio.lowlevel
import pytest
import trio
from trio.testing import MockClock

from tunnel.adapters.clock import AnyioClock, MonotonicClock
from tunnel.ports.clock import Clock

CLOCKS = [AnyioClock, MonotonicClock]
BACKENDS = ["asyncio", "trio"]


@pytest.mark.anyio
@pytest.mark.parametrize("clock_type", CLOCKS)
@pytest.mark.parametrize("anyio_backend", BACKENDS)
async def test_sleep_takes_the_time_that_now_shows(clock_type: type[Clock]) -> None:
    clock = clock_type()
    before = clock.now()
    with anyio.fail_after(5):
        await clock.sleep(0.01)
    assert 0.009 <= clock.now() - before < 5


@pytest.mark.anyio
@pytest.mark.parametrize("delay_s", [0.0, -1.0])
@pytest.mark.parametrize("clock_type", CLOCKS)
@pytest.mark.parametrize("anyio_backend", BACKENDS)
async def test_sleep_that_is_not_positive_still_yields(clock_type: type[Clock], delay_s: float) -> None:
    ran = False

    async def other() -> None:
        nonlocal ran
        ran = True

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(other)
        while not ran:
            await clock_type().sleep(delay_s)


def test_event_loop_clock_follows_virtual_time() -> None:
    async def an_hour() -> float:
        clock = AnyioClock()
        before = clock.now()
        await clock.sleep(3600)
        return clock.now() - before

    assert trio.run(an_hour, clock=MockClock(autojump_threshold=0)) == 3600
