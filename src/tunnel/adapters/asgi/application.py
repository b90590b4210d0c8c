"""An ASGI application: its lifespan, and the calls of it that are under way."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

import anyio
from anyio.abc import TaskGroup

from tunnel.adapters.asgi.call import ApplicationCall
from tunnel.adapters.asgi.lifespan import Lifespan
from tunnel.adapters.asgi.types import AsgiCallable
from tunnel.domain.errors import ConfigurationError, ErrorCode, SessionError
from tunnel.ports.application import Application
from tunnel.ports.signal import SignalFactory

__all__ = ["AsgiApplication"]

_logger = logging.getLogger("tunnel.asgi")

FAREWELL_S: Final = 10.0
"""How long calls that go on after their response, and then the lifespan's shutdown, may each take."""


class AsgiApplication(Application):
    """Runs an application's calls in tasks of its own, so that one may go on after its response.

    Args:
        called: The application, of ASGI 3.
        name: For log lines and errors.
        signals: Makes what its calls wait with.
        farewell_s: Seconds that calls may go on when it is closed, and as many for its lifespan to end.
    """

    def __init__(
        self, called: AsgiCallable, *, name: str, signals: SignalFactory, farewell_s: float = FAREWELL_S
    ) -> None:
        self._called = called
        self.signals = signals
        """Makes what its calls wait with."""
        self._farewell_s = farewell_s
        self._lifespan = Lifespan(called, name)
        self._tasks: TaskGroup | None = None
        self._ready = False
        self._closing = anyio.Event()
        self._idle = anyio.Event()
        self._over = anyio.Event()
        self._running = 0
        self.name = name
        """For log lines and errors."""

    @property
    def running(self) -> int:
        """Calls that have not returned."""
        return self._running

    def state(self) -> dict[str, Any]:
        """A copy of what the lifespan keeps: of the namespace, not of what is in it."""
        return self._lifespan.state.copy()

    async def serve(self, started: Callable[[], None]) -> None:
        if self._closing.is_set():
            self._over.set()
            return
        lifespan = self._lifespan
        try:
            async with anyio.create_task_group() as self._tasks:
                self._tasks.start_soon(lifespan.run)
                await lifespan.startup()
                if lifespan.failure is None:
                    self._ready = True
                    started()
                    await self._closing.wait()
                    await self._farewell()
                    await lifespan.shutdown(self._farewell_s)
                self._tasks.cancel_scope.cancel()
        finally:
            self._ready = False
            self._tasks = None
            self._over.set()
        if lifespan.failure is not None:
            raise ConfigurationError(f"{self.name} failed to start: {lifespan.failure}")

    async def aclose(self) -> None:
        self._closing.set()
        if self._tasks is None:
            return
        if not self._ready:
            self._tasks.cancel_scope.cancel()
        await self._over.wait()

    def call(self, call: ApplicationCall) -> None:
        """Call the application in a task; ``call`` learns when it returns.

        Raises:
            SessionError: ``refused``: it is not running, or not any more; nothing was called.
        """
        if self._tasks is None or self._closing.is_set():
            raise SessionError(ErrorCode.REFUSED, "the application is closed")
        self._running += 1
        self._tasks.start_soon(self._call, call)

    async def _call(self, call: ApplicationCall) -> None:
        try:
            with call.scope:
                try:
                    await self._called(call.asgi_scope, call.receive, call.send)
                except (anyio.get_cancelled_exc_class(), KeyboardInterrupt):
                    raise
                except BaseException as exc:  # noqa: BLE001 - anybody's code, and SystemExit is of one conversation too
                    self._report(call, exc)
                    call.failed()
                else:
                    if call.unanswered and not call.left.is_set:
                        _logger.error("%s returned without answering", self.name)
        finally:
            self._running -= 1
            if not self._running:
                self._idle.set()
            call.ended()

    def _report(self, call: ApplicationCall, exc: BaseException) -> None:
        # Whoever sends to a visitor that has left is told so by an exception, which is no news then.
        level = logging.DEBUG if call.lost else logging.ERROR
        _logger.log(level, "%s raised an exception", self.name, exc_info=exc)

    async def _farewell(self) -> None:
        with anyio.move_on_after(self._farewell_s):
            while self._running:
                self._idle = anyio.Event()
                await self._idle.wait()
        if self._running:
            _logger.warning("%s: %d calls were cut off", self.name, self._running)
