"""Tasks that run while a context is entered, and that its body need not know of."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

__all__ = ["Background"]


class Background:
    """A task group whose tasks are cancelled when the context is left.

    Leaving cancels the tasks from within, never the task that leaves: so an exception of the body propagates as it is
    rather than in a group, and a body whose task counts cancellations of its own (``asyncio.Task.cancelling``) is not
    hit by ours. When a task fails the body is cancelled, and leaving raises what the task raised.
    """

    def __init__(self) -> None:
        self._outer: TaskGroup | None = None
        self._inner: TaskGroup | None = None
        self._started = anyio.Event()
        self._leaving = anyio.Event()

    @property
    def tasks(self) -> TaskGroup:
        """Where to start tasks while the context is entered."""
        assert self._inner is not None, "not entered"
        return self._inner

    async def start(self, serve: Callable[[Callable[[], None]], Awaitable[None]]) -> None:
        """Run ``serve`` as a task, and return once it has called what it was given, or has returned without.

        What it raises before that is raised here, as it is; what it raises later leaves the context. Cancelling this
        leaves the task running.
        """
        started = anyio.Event()
        failure: Exception | None = None

        async def run() -> None:
            nonlocal failure
            try:
                await serve(started.set)
            except Exception as exc:
                if started.is_set():
                    raise
                failure = exc
            finally:
                started.set()

        self.tasks.start_soon(run)
        await started.wait()
        if failure is not None:
            raise failure

    async def __aenter__(self) -> Self:
        self._outer = anyio.create_task_group()
        await self._outer.__aenter__()
        try:
            self._outer.start_soon(self._hold)
            await self._started.wait()
            # Cancelled in this very moment, the inner group is gone already, or about to go.
            await anyio.lowlevel.checkpoint_if_cancelled()
        except BaseException:
            # Cancelled at the door: whoever entered will not leave, so this has to.
            self._leaving.set()
            self._outer.cancel_scope.cancel()
            await self._outer.__aexit__(*sys.exc_info())
            raise
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._outer is not None
        self._leaving.set()
        await self._outer.__aexit__(None, None, None)

    async def _hold(self) -> None:
        async with anyio.create_task_group() as self._inner:
            self._started.set()
            await self._leaving.wait()
            self._inner.cancel_scope.cancel()
