from __future__ import annotations

import asyncio
import contextlib

import pytest
from grpc_kit import end_of, run

from tunnel.adapters.grpc.handover import Handover
from tunnel.domain.errors import LinkEnd, LinkError

ENDED = LinkError(LinkEnd.ENDED, "the end")
CLOSED = LinkError(LinkEnd.CLOSED, "closed")


async def blocked(task: asyncio.Task[object]) -> None:
    for _ in range(5):
        await asyncio.sleep(0)
    assert not task.done()


async def cancelled(task: asyncio.Task[object]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def test_items_keep_their_order() -> None:
    async def scenario() -> None:
        queue: Handover[int] = Handover(2)

        async def put() -> None:
            for number in range(100):
                await queue.put(number)

        putting = asyncio.create_task(put())
        assert [await queue.get() for _ in range(100)] == list(range(100))
        await putting

    run(scenario)


def test_put_waits_while_full() -> None:
    async def scenario() -> None:
        queue: Handover[int] = Handover(1)
        await queue.put(1)
        putting = asyncio.create_task(queue.put(2))
        await blocked(putting)
        assert await queue.get() == 1
        await putting
        assert await queue.get() == 2

    run(scenario)


def test_cancelled_put_passes_nothing() -> None:
    async def scenario() -> None:
        queue: Handover[int] = Handover(1)
        await queue.put(1)
        putting = asyncio.create_task(queue.put(2))
        await blocked(putting)
        await cancelled(putting)
        assert await queue.get() == 1
        await queue.put(3)
        assert await queue.get() == 3

    run(scenario)


def test_get_cancelled_just_as_an_item_comes_loses_nothing() -> None:
    async def scenario() -> None:
        queue: Handover[int] = Handover(1)
        getting = asyncio.create_task(queue.get())
        await blocked(getting)
        await queue.put(1)
        await cancelled(getting)
        assert await queue.get() == 1

    run(scenario)


def test_put_cancelled_just_as_room_comes_loses_no_wake_up() -> None:
    async def scenario() -> None:
        queue: Handover[int] = Handover(1)
        await queue.put(1)
        putting = asyncio.create_task(queue.put(2))
        await blocked(putting)
        assert await queue.get() == 1
        await cancelled(putting)
        await queue.put(3)
        assert await queue.get() == 3

    run(scenario)


def test_close_lets_waiting_items_out_first() -> None:
    async def scenario() -> None:
        queue: Handover[int] = Handover(2)
        await queue.put(1)
        queue.close(ENDED)
        assert await end_of(queue.put(2)) is LinkEnd.ENDED
        assert await queue.get() == 1
        assert await end_of(queue.get()) is LinkEnd.ENDED
        assert await end_of(queue.get()) is LinkEnd.ENDED

    run(scenario)


def test_close_may_discard_and_the_first_end_stays() -> None:
    async def scenario() -> None:
        queue: Handover[int] = Handover(2)
        await queue.put(1)
        queue.close(ENDED)
        queue.close(CLOSED, discard=True)
        assert await end_of(queue.get()) is LinkEnd.ENDED

    run(scenario)


def test_close_wakes_both_sides() -> None:
    async def scenario() -> None:
        empty: Handover[int] = Handover(1)
        full: Handover[int] = Handover(1)
        await full.put(1)
        getting, putting = asyncio.create_task(empty.get()), asyncio.create_task(full.put(2))
        await blocked(getting)
        await blocked(putting)
        empty.close(CLOSED)
        full.close(CLOSED)
        assert await end_of(getting) is LinkEnd.CLOSED
        assert await end_of(putting) is LinkEnd.CLOSED

    run(scenario)


def test_errors_raised_again_do_not_grow() -> None:
    async def scenario() -> None:
        queue: Handover[int] = Handover(1)
        queue.close(ENDED)
        for _ in range(3):
            with pytest.raises(LinkError) as caught:
                await queue.get()
            assert len(caught.traceback) == 2
        assert ENDED.__traceback__ is None

    run(scenario)


def test_delivery_is_woken_once_when_the_item_is_done_with() -> None:
    async def scenario() -> None:
        queue: Handover[int] = Handover(1)
        delivering = queue.deliver(1)
        waited_for = delivering.send(None)
        assert await queue.get() == 1
        assert not waited_for.done()
        asking = asyncio.create_task(queue.get())
        await blocked(asking)
        assert waited_for.done()
        with pytest.raises(StopIteration):
            delivering.send(None)
        await cancelled(asking)

    run(scenario)


def test_close_wakes_a_delivery() -> None:
    async def scenario() -> None:
        queue: Handover[int] = Handover(1)
        delivering = asyncio.create_task(queue.deliver(1))
        await blocked(delivering)
        queue.close(CLOSED)
        assert await end_of(delivering) is LinkEnd.CLOSED
        assert await queue.get() == 1

    run(scenario)


def test_second_caller_of_one_side_is_told() -> None:
    async def scenario() -> None:
        queue: Handover[int] = Handover(1)
        getting = asyncio.create_task(queue.get())
        await blocked(getting)
        with pytest.raises(RuntimeError, match="already getting"):
            await queue.get()
        await queue.put(1)
        assert await getting == 1

    run(scenario)
