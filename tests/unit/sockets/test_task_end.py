"""Ending a task, whatever it and whoever waits for it do meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from tunnel.sockets.task_end import end_task, end_tasks


async def _reluctant(go: asyncio.Event) -> None:
    """Ends after its cancellation, and only when told."""
    try:
        await asyncio.Event().wait()
    finally:
        await go.wait()


def test_task_has_ended_when_it_returns() -> None:
    async def scenario() -> None:
        task = asyncio.create_task(asyncio.Event().wait())
        await end_task(task)  # type: ignore[arg-type]
        assert task.cancelled()
        await end_task(task)  # type: ignore[arg-type]

    asyncio.run(scenario())


def test_what_the_task_raises_is_not_raised() -> None:
    async def fail() -> None:
        raise LookupError

    async def scenario() -> None:
        task = asyncio.create_task(fail())
        await asyncio.wait([task])
        await end_task(task)
        assert isinstance(task.exception(), LookupError)

    asyncio.run(scenario())


@pytest.mark.parametrize("cancellations", [1, 2])
def test_cancelled_itself_it_waits_all_the_same_and_raises_that_afterwards(cancellations: int) -> None:
    async def scenario() -> None:
        go = asyncio.Event()
        task = asyncio.create_task(_reluctant(go))
        await asyncio.sleep(0)
        ending = asyncio.create_task(end_task(task))
        for _ in range(cancellations):
            await asyncio.sleep(0)
            ending.cancel()
            await asyncio.sleep(0)
            assert not ending.done()
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await ending
        assert task.cancelled()

    asyncio.run(scenario())


def test_those_that_do_not_return_are_told_and_not_waited_for() -> None:
    async def scenario() -> None:
        go = asyncio.Event()
        tasks = [asyncio.create_task(_reluctant(go)), asyncio.create_task(_reluctant(asyncio.Event()))]
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(go.set)
        assert await end_tasks(tasks, within_s=0.05) == 1
        assert (tasks[0].cancelled(), tasks[1].done()) == (True, False)
        tasks[1].cancel()
        await asyncio.wait(tasks)

    asyncio.run(scenario())


def test_tasks_may_leave_the_collection_as_they_end() -> None:
    async def scenario() -> None:
        tasks: dict[asyncio.Task[None], str] = {}
        for number in range(10):
            task = asyncio.create_task(_reluctant(asyncio.Event()), name=str(number))
            tasks[task] = task.get_name()
            task.add_done_callback(tasks.pop)
        # Cancelled before it began, a task has ended at once.
        assert await end_tasks(tasks, within_s=5) == 0
        assert not tasks

    asyncio.run(scenario())


def test_a_round_passes_even_where_nothing_runs() -> None:
    async def scenario() -> None:
        told: list[bool] = []
        asyncio.get_running_loop().call_soon(told.append, True)
        assert await end_tasks((), within_s=5) == 0
        assert told

    asyncio.run(scenario())
