"""Tasks of one connection that handle its requests one after another: starting a task for each costs more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tunnel.adapters.http.ingress_exchange import Exchange

__all__ = ["RequestWorkers"]


class _Worker:
    __slots__ = ("task", "wake")

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self.wake: asyncio.Future[Exchange | None] | None = None


class RequestWorkers:
    """Handles requests, mostly in one task. A target that stays with what it has answered keeps its task to itself.

    Args:
        loop: Of the connection.
        tasks: Where tasks are registered while they run; whoever owns it may cancel them.
        serve: Handles one request. What it raises ends the task.
        following: The next request, when it is its turn; else None.
    """

    __slots__ = ("_closed", "_current", "_following", "_loop", "_resting", "_serve", "_tasks")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        tasks: set[asyncio.Task[None]],
        *,
        serve: Callable[[Exchange], Awaitable[None]],
        following: Callable[[], Exchange | None],
    ) -> None:
        self._loop = loop
        self._tasks = tasks
        self._serve = serve
        self._following = following
        self._current: _Worker | None = None  # runs the request that was begun last
        self._resting: _Worker | None = None
        self._closed = False

    def submit(self, exchange: Exchange) -> None:
        """Have ``exchange`` handled."""
        self._current = self._wake_resting(exchange)
        if self._current is None:
            worker = self._current = _Worker()
            task = worker.task = self._loop.create_task(self._work(worker, exchange))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def cancel(self) -> None:
        """Cancel the request that was begun last, and its task with it."""
        if self._current is not None and self._current.task is not None:
            self._current.task.cancel()

    def close(self) -> None:
        """No more requests come."""
        self._closed = True
        self._wake_resting(None)

    def _wake_resting(self, exchange: Exchange | None) -> _Worker | None:
        """Give ``exchange`` to the task that waits for one, and return its worker; with None it ends."""
        worker, self._resting = self._resting, None
        if worker is None or worker.wake is None or worker.wake.done():
            return None  # done means cancelled
        worker.wake.set_result(exchange)
        return worker

    async def _work(self, worker: _Worker, exchange: Exchange | None) -> None:
        while exchange is not None:
            await self._serve(exchange)
            exchange = self._following()
            if exchange is not None:
                self._current = worker
            elif self._resting is None and not self._closed:
                exchange = await self._rest(worker)

    async def _rest(self, worker: _Worker) -> Exchange | None:
        self._resting = worker
        worker.wake = self._loop.create_future()
        try:
            return await worker.wake
        finally:
            worker.wake = None
            if self._resting is worker:
                self._resting = None
