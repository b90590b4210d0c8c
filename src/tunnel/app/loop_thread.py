"""An event loop in a thread of its own, for code that is not asynchronous."""

from __future__ import annotations

import atexit
import os
from concurrent.futures import Future
from contextvars import Context
from importlib.util import find_spec
from threading import Event, Thread
from types import TracebackType
from typing import Final

import anyio
from anyio.from_thread import BlockingPortal

__all__ = ["LoopThread"]

_UVLOOP: Final = find_spec("uvloop") is not None

_EXIT_S: Final = 10.0
"""Seconds that what runs there has to close when the interpreter ends."""


class LoopThread:
    """Runs an event loop in a thread while entered; entering gives the portal to it. Used once.

    Three things that ``anyio.from_thread.start_blocking_portal`` leaves to luck are why it is not used:

    1. An interrupt (Ctrl-C) while the thread starts: the thread ends, instead of being waited for without end.
    2. The end of the interpreter: what was never left is cancelled and closed, instead of waited for by a finalizer
       when the thread cannot run any more.
    3. A fork: the child, which has no such thread, waits for nothing; what runs there goes on in the parent alone.

    Args:
        backend: ``asyncio``, with uvloop's event loop where that is installed, or ``trio``.
    """

    def __init__(self, backend: str = "asyncio") -> None:
        self._backend: Final = backend
        self._process: Final = os.getpid()
        self._portal: Final[Future[BlockingPortal]] = Future()
        self._told = Event()
        # A daemon, for others are waited for before what is registered with atexit is called.
        self._thread: Final = Thread(target=self._run, daemon=True, name="tunnel-blocking")

    @property
    def forked(self) -> bool:
        """Whether this process is a child of the one with the thread."""
        return os.getpid() != self._process

    def __enter__(self) -> BlockingPortal:
        try:
            self._thread.start()
            portal = self._portal.result()
            atexit.register(self._interpreter_ends)
        except BaseException:
            self._stop(cancel=True)
            raise
        return portal

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop(cancel=kind is not None)

    def _run(self) -> None:
        try:
            # Of the context of who enters, nothing.
            Context().run(self._run_loop)
        except BaseException as exc:  # noqa: BLE001 - nobody else could tell who waits
            # What ends a loop that runs has been raised where it was waited for.
            if not self._portal.done():
                self._portal.set_exception(exc)

    def _run_loop(self) -> None:
        options = {"use_uvloop": _UVLOOP} if self._backend == "asyncio" else None
        anyio.run(self._serve, backend=self._backend, backend_options=options)

    async def _serve(self) -> None:
        async with BlockingPortal() as portal:
            # First this, then the look at the event; ``_stop`` does it the other way round, so one of them sees.
            self._portal.set_result(portal)
            if not self._told.is_set():
                await portal.sleep_until_stopped()

    def _stop(self, *, cancel: bool, timeout_s: float | None = None) -> None:
        """Have the thread end, and wait for it.

        Args:
            cancel: Whether what runs there is cancelled, rather than waited for.
            timeout_s: Seconds to wait; None: until it has ended.
        """
        if self.forked:
            return
        atexit.unregister(self._interpreter_ends)
        self._told.set()
        if self._portal.done() and self._portal.exception() is None:
            try:
                self._portal.result().start_task_soon(self._portal.result().stop, cancel)
            except RuntimeError:
                # It has ended by itself: what ran there has failed, and that was raised.
                pass
        if self._thread.ident is not None:  # else it was interrupted before it began, and ends as soon as it does
            self._thread.join(timeout_s)

    def _interpreter_ends(self) -> None:
        self._stop(cancel=True, timeout_s=_EXIT_S)
