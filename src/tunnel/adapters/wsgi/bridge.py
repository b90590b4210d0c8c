"""A WSGI application called as an ASGI one.

1. Each request is a call in a thread. Threads are bounded for each application; further requests wait.
2. ``wsgi.input`` reads from the visitor when the application reads. A visitor that leaves makes it raise.
3. Each part of the response is handed over before the next is asked for. A slow visitor holds its thread, and memory
   stays flat; one that leaves makes handing over raise, so that the thread comes back.
4. A thread cannot be interrupted while it does neither. Whoever closes the application waits for it.

WebSockets are refused with 403, and there is no lifespan.

Source: PEP 3333.
"""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable, Coroutine, Iterable, MutableMapping
from typing import Any, Final, TypeAlias

import anyio
from anyio import to_thread

from tunnel.adapters.wsgi.environ import environ_of
from tunnel.adapters.wsgi.request_body import RequestBody
from tunnel.adapters.wsgi.response import WsgiResponse

__all__ = ["WsgiBridge"]

_Message: TypeAlias = MutableMapping[str, Any]
_WsgiCallable: TypeAlias = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

THREADS: Final = 40
"""At the same time, for each application. As many as Starlette and AnyIO have by default."""

_BUFFER_BYTES: Final = 64 * 1024


class WsgiBridge:
    """An ASGI application that calls one of WSGI in threads.

    Args:
        called: The application.
        threads: Most at the same time.
    """

    def __init__(self, called: _WsgiCallable, *, threads: int = THREADS) -> None:
        self._called = called
        self._threads = threads
        self._limiter: anyio.CapacityLimiter | None = None

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Coroutine[Any, Any, _Message]],
        send: Callable[[_Message], Awaitable[None]],
    ) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close"})
        elif scope["type"] == "http":
            if self._limiter is None:  # it belongs to the event loop that it is first used on
                self._limiter = anyio.CapacityLimiter(self._threads)
            body = io.BufferedReader(RequestBody(receive), _BUFFER_BYTES)
            environ, response = environ_of(scope, body), WsgiResponse(send)
            await to_thread.run_sync(self._answer, environ, response, limiter=self._limiter)

    def _answer(self, environ: dict[str, Any], response: WsgiResponse) -> None:
        parts = self._called(environ, response.start)
        try:
            response.send_all(parts)
        finally:
            close = getattr(parts, "close", None)
            if close is not None:
                close()
