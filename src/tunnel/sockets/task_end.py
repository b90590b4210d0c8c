"""Ending tasks that work for somebody who does not need them any more."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

__all__ = ["end_task", "end_tasks"]


async def end_task(task: asyncio.Task[None]) -> None:
    """Cancel ``task``. Returns when it has ended, even when cancelled itself; that is raised afterwards.

    What the task raised is not raised here.
    """
    task.cancel()
    interruption: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError as exc:
            interruption = exc
    if interruption is not None:
        raise interruption


async def end_tasks(tasks: Iterable[asyncio.Task[None]], *, within_s: float) -> int:
    """Cancel what works for the connections of a listener, which were aborted just before.

    Returns when all have ended, or time is up, and connections have been told that they are lost: that is in the next
    round of the event loop. To be shielded by whoever may be cancelled.

    Args:
        tasks: Read once; may change meanwhile.
        within_s: Seconds that they have. It may be anybody's code that does not return.

    Returns:
        How many have not ended.
    """
    ending = set(tasks)
    for task in ending:
        task.cancel()
    stuck = 0
    if ending:
        _, pending = await asyncio.wait(ending, timeout=within_s)
        stuck = len(pending)
    await asyncio.sleep(0)
    return stuck
