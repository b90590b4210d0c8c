"""What calls wait with: on both event loops, cancelled in every moment."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from tunnel.adapters.asgi.latch import Latch
from tunnel.adapters.asgi.turn import Turn
from tunnel.adapters.signals import signals_of_running_loop

pytestmark = pytest.mark.anyio


async def settle() -> None:
    """Let all other tasks do what they can do now."""
    await anyio.sleep(1)


# -- what happens once


async def test_all_who_wait_hear_of_it_and_those_who_come_later_too() -> None:
    latch = Latch(signals_of_running_loop())
    heard: list[int] = []

    async def wait(number: int) -> None:
        await latch.wait()
        heard.append(number)

    async with anyio.create_task_group() as tasks:
        for number in range(3):
            tasks.start_soon(wait, number)
        await settle()
        assert (heard, latch.is_set) == ([], False)
        latch.set()
        latch.set()
        await settle()
        assert (sorted(heard), latch.is_set) == ([0, 1, 2], True)
        await latch.wait()


async def test_waiting_for_what_has_happened_lets_others_run() -> None:
    latch = Latch(signals_of_running_loop())
    latch.set()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await latch.wait()
        pytest.fail("it was not cancelled")


async def test_one_who_waits_no_more_is_forgotten() -> None:
    latch = Latch(signals_of_running_loop())
    with anyio.move_on_after(1):
        await latch.wait()
    latch.set()
    await latch.wait()


# -- turns


async def test_one_at_a_time_in_the_order_in_which_they_came() -> None:
    turn = Turn(signals_of_running_loop())
    log: list[str] = []

    async def take(name: str) -> None:
        async with turn:
            log.append(f"{name} in")
            await settle()
            log.append(f"{name} out")

    async with anyio.create_task_group() as tasks:
        for name in "abc":
            tasks.start_soon(take, name)
            await anyio.sleep(0.1)
    assert log == ["a in", "a out", "b in", "b out", "c in", "c out"]


@pytest.mark.parametrize("granted", [False, True], ids=["waiting", "just granted"])
async def test_turn_of_one_who_is_cancelled_goes_to_the_next(*, granted: bool) -> None:
    turn = Turn(signals_of_running_loop())
    cancelled = anyio.CancelScope()
    log: list[str] = []

    async def give_up() -> None:
        with cancelled:
            async with turn:
                log.append("never")

    async def take() -> None:
        async with turn:
            log.append("taken")

    async with anyio.create_task_group() as tasks:
        async with turn:
            tasks.start_soon(give_up)
            await settle()
            tasks.start_soon(take)
            await settle()
            if not granted:
                cancelled.cancel()
                await settle()
        if granted:
            cancelled.cancel()
        await settle()
        async with turn:
            log.append("free")
    assert log in (["taken", "free"], ["never", "taken", "free"])
    assert granted or "never" not in log


async def test_exception_gives_the_turn_back() -> None:
    turn = Turn(signals_of_running_loop())
    with pytest.raises(KeyError):
        async with turn:
            raise KeyError
    async with turn:
        pass


def test_turn_that_was_given_to_a_task_of_asyncio_cancelled_in_that_moment_is_passed_on() -> None:
    async def take(turn: Turn) -> None:
        async with turn:
            pass

    async def check() -> None:
        turn = Turn(signals_of_running_loop())
        async with turn:
            first, second = asyncio.create_task(take(turn)), asyncio.create_task(take(turn))
            await asyncio.sleep(0)
        first.cancel()
        async with asyncio.timeout(5):
            await second
        assert first.cancelled()

    asyncio.run(check())
