"""An application in the process, whose calls a test takes one by one and speaks for."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from fidelity_sockets import DEADLINE_S

__all__ = ["Call", "Process"]

Within = Callable[[Coroutine[Any, Any, Any]], Any]
"""Runs something where the application runs, and waits for it."""


class Call:
    """One call of the application. Tests say what it does; blocking, each call with a deadline."""

    def __init__(self, scope: Any, receive: Any, send: Any, within: Within) -> None:
        self.scope = scope
        self.cancelled = threading.Event()
        self._receive = receive
        self._send = send
        self._within = within
        self._end: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def receive(self) -> Any:
        """What it hears next."""
        return self._within(self._receive())

    def send(self, kind: str, **more: Any) -> None:
        """Send a message of ``kind``."""
        self._within(self._send({"type": kind, **more}))

    def respond(self, body: bytes = b"", *headers: tuple[bytes, bytes], status: int = 200, **more: Any) -> None:
        """Begin a response, dated, with the first of its body."""
        dated = [*headers, (b"date", b"today")]
        self.send("http.response.start", status=status, headers=dated, trailers=more.pop("trailers", False))
        self.send("http.response.body", body=body, **more)

    def start_receiving(self) -> Callable[[], Any]:
        """Listen without waiting for it; what is returned waits."""
        listening = self._start(self._receive())
        return lambda: self._within(asyncio.wait_for(listening, None))

    def start_sending(self, kind: str, **more: Any) -> asyncio.Task[None]:
        """Send without waiting for it."""
        return self._start(self._send({"type": kind, **more}))

    def ends(self, failure: Exception | None = None) -> None:
        """Return, or raise ``failure``."""
        self._within(self._finish(failure))

    async def run(self) -> None:
        """What the application does: nothing by itself."""
        try:
            await self._end
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    def _start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        async def start() -> asyncio.Task[Any]:
            return asyncio.ensure_future(work)

        started: asyncio.Task[Any] = self._within(start())
        return started

    async def _finish(self, failure: Exception | None) -> None:
        if self._end.done():
            return
        if failure is None:
            self._end.set_result(None)
        else:
            self._end.set_exception(failure)


class Process:
    """The application.

    Args:
        within: Runs something where it runs.
    """

    def __init__(self, within: Within) -> None:
        self._within = within
        self._coming: queue.SimpleQueue[Call] = queue.SimpleQueue()
        self._taken: list[Call] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise NotImplementedError
        call = Call(scope, receive, send, self._within)
        self._coming.put(call)
        await call.run()

    def call(self) -> Call:
        """The next call it gets."""
        self._taken.append(self._coming.get(timeout=DEADLINE_S))
        return self._taken[-1]

    def discard(self) -> None:
        """End every call that there is."""
        while not self._coming.empty():
            self.call()
        while self._taken:
            self._taken.pop().ends()
