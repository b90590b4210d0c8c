"""Tasks that handle one conversation after another.

Starting a task costs more than most small exchanges do, so a task that has finished with one waits for the next. So
does its cancel scope: it is replaced only after it was used.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import anyio
from anyio.abc import TaskGroup

from tunnel.app.session_stream import SessionStream
from tunnel.ports.signal import Signal, SignalFactory

__all__ = ["SessionWorkers"]

_MAX_IDLE: Final = 256
"""Tasks that wait for a conversation; beyond that a task ends when it has nothing to do."""


class _Worker:
    __slots__ = ("signal", "stream")

    def __init__(self, stream: SessionStream, signal: Signal) -> None:
        self.signal = signal
        self.stream: SessionStream | None = stream


class SessionWorkers:
    """Runs a handler for each conversation, all of them concurrently.

    Args:
        tasks: Where the tasks run; whoever owns it ends them by cancelling it.
        handle: The handler. It must not raise, and is cancelled when the peer resets its conversation.
        signals: Makes what idle tasks wait with.
    """

    __slots__ = ("_handle", "_idle", "_running", "_signals", "_tasks")

    def __init__(
        self, tasks: TaskGroup, handle: Callable[[SessionStream], Awaitable[None]], signals: SignalFactory
    ) -> None:
        self._tasks = tasks
        self._signals = signals
        self._handle = handle
        self._idle: list[_Worker] = []
        self._running = 0

    @property
    def busy(self) -> int:
        """Tasks that have a conversation."""
        return self._running - len(self._idle)

    def submit(self, stream: SessionStream) -> None:
        """Have ``stream`` handled."""
        if self._idle:
            worker = self._idle.pop()
            worker.stream = stream
            worker.signal.notify()
        else:
            self._tasks.start_soon(self._work, _Worker(stream, self._signals()))

    async def _work(self, worker: _Worker) -> None:
        self._running += 1
        try:
            while await self._take_turns(worker):
                pass
        finally:
            self._running -= 1
            if worker.stream is not None:
                # Ended with the task group, between being given a conversation and taking it up.
                worker.stream.finish()

    async def _take_turns(self, worker: _Worker) -> bool:
        """Handle conversations until one is cancelled, then True; False when this task is not needed any more."""
        with anyio.CancelScope() as scope:
            while not scope.cancel_called:
                stream, worker.stream = worker.stream, None
                if stream is not None:
                    stream.scope = scope
                    try:
                        await self._handle(stream)
                    finally:
                        stream.scope = None
                elif len(self._idle) >= _MAX_IDLE:
                    return False
                else:
                    await self._next(worker)
        return True

    async def _next(self, worker: _Worker) -> None:
        self._idle.append(worker)
        try:
            await worker.signal.wait()
        finally:
            # Cancelled for a conversation that has just ended, or for good.
            if worker.stream is None:
                self._idle.remove(worker)
