"""Waiting as calls do it: woken by whoever comes first, for rounds of the event loop, and not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["at_once", "cycles", "this_task_is_cancelled", "wake"]

T = TypeVar("T")


def wake(waiter: asyncio.Future[None] | None) -> None:
    """Wake whoever waits, unless nobody does or somebody else was first."""
    if waiter is not None and not waiter.done():
        waiter.set_result(None)


async def cycles(count: int) -> None:
    """Let the event loop go round ``count`` times, two at least; the waiting task is not run in between."""
    loop = asyncio.get_running_loop()
    over = loop.create_future()
    # One round goes by before the first callback, and one until whoever waits is run.
    loop.call_soon(_wake_later, loop, over, count - 2)
    await over


def _wake_later(loop: asyncio.AbstractEventLoop, waiter: asyncio.Future[None], count: int) -> None:
    if count:
        loop.call_soon(_wake_later, loop, waiter, count - 1)
    else:
        wake(waiter)


def at_once(answer: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns that has nothing to wait for."""
    try:
        answer.send(None)
    except StopIteration as done:
        value: T = done.value
        return value
    answer.close()
    raise AssertionError("gRPC reported a status that it does not have")


def this_task_is_cancelled() -> bool:
    """Whether a ``CancelledError`` is meant for the task; gRPC raises one too when the call was cancelled."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
