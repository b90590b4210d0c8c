"""Ending a task, whatever it and whoever waits for it do meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from tunnel.sockets.task_end import end_task


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
