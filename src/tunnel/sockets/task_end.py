"""Ending a task that works for somebody who does not need it any more."""

from __future__ import annotations

import asyncio

__all__ = ["end_task"]


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
