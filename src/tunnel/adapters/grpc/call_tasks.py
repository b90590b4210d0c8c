"""The tasks that grpc.aio keeps for a call.

A call that is cancelled here has its status at once, but two tasks of grpc.aio's go on waiting until gRPC's core has
said the same: one for the initial metadata and one for the status. An event loop that is closed before leaves what
the core says to whichever loop uses gRPC next, where it fails: that event loop is closed. grpc.aio hands out neither
task, so they are taken note of when they begin:

1. The first begins with the call: it is what making the call adds to all tasks.
2. Its first step begins the second, and then waits. Callbacks run in the order in which they were scheduled; so between
   one that is scheduled before the call is made and one that is scheduled after, nothing but that step runs, and what
   it adds to all tasks is the second.

Cancelling the call cancels the first, whose word of the core then comes unheard; but the core tells the status last.
Should another version of gRPC begin other tasks, or none, nobody waits for those.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

__all__ = ["CallTasks"]

_END_S: Final = 1.0
"""The core ends a call that was cancelled within a millisecond. Should it ever not, nobody waits for it longer."""

_Call = TypeVar("_Call")


class CallTasks(Generic[_Call]):
    """What grpc.aio has running for the call that ``make`` makes, within a running event loop.

    Args:
        make: Makes the call and does nothing else.
    """

    def __init__(self, make: Callable[[], _Call]) -> None:
        self._loop: Final = asyncio.get_running_loop()
        self._others: set[asyncio.Task[Any]] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._loop.call_soon(self._before_the_first_step)
        others = asyncio.all_tasks()
        self.call: Final = make()
        self._tasks = asyncio.all_tasks() - others
        self._loop.call_soon(self._after_the_first_step)

    async def ended(self) -> None:
        """Wait until none of them runs any more, once the call has ended or was cancelled; a second at most."""
        running = {task for task in self._tasks if not task.done()}
        if running:
            await asyncio.wait(running, timeout=_END_S)

    def _before_the_first_step(self) -> None:
        self._others = asyncio.all_tasks(self._loop)

    def _after_the_first_step(self) -> None:
        self._tasks |= asyncio.all_tasks(self._loop) - self._others
        self._others = set()
