"""Applications that run, and visitors of theirs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import anyio
from support.app_kit import FakeStream

from tunnel.adapters.asgi.application import AsgiApplication
from tunnel.adapters.asgi.upstream import AsgiUpstream
from tunnel.adapters.signals import signals_of_running_loop
from tunnel.domain.envelopes import HttpRequest, SessionPayload, WebSocketFrame

__all__ = ["Visit", "asked", "get", "hosting", "post", "respond", "shaking", "visiting"]


def get(path: bytes = b"/", *, method: str = "GET", headers: tuple[bytes, ...] = (), **fields: Any) -> HttpRequest:
    headers = (b"host", b"app.test", *headers)
    return HttpRequest(method, path, None, b"app.test", headers, end=True, **fields)


def post(body: bytes = b"", *, end: bool = False, headers: tuple[bytes, ...] = ()) -> HttpRequest:
    return HttpRequest("POST", b"/", None, b"app.test", (b"host", b"app.test", *headers), body, end)


def shaking(*headers: bytes) -> HttpRequest:
    """The opening of a WebSocket conversation."""
    return HttpRequest("GET", b"/ws", None, b"app.test", (b"host", b"app.test", *headers), protocol="websocket")


async def respond(send: Any, body: bytes = b"", *, status: int = 200, headers: Any = (), **more: Any) -> None:
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": body, **more})


@asynccontextmanager
async def hosting(app: Any, *, farewell_s: float = 10.0, **options: Any) -> AsyncIterator[AsgiUpstream]:
    """An upstream whose application runs, without a lifespan, and which is closed in the end."""

    async def called(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise NotImplementedError
        await app(scope, receive, send)

    application = AsgiApplication(called, name="shop:app", signals=signals_of_running_loop(), farewell_s=farewell_s)
    async with anyio.create_task_group() as tasks:
        started = anyio.Event()
        tasks.start_soon(application.serve, started.set)
        await started.wait()
        upstream = AsgiUpstream(application, release=application.aclose, **options)
        try:
            yield upstream
        finally:
            await upstream.aclose()


class Visit:
    """A conversation under way.

    Attributes:
        over: Set when the target has finished with it.
        failure: What the target raised.
    """

    def __init__(self, stream: FakeStream) -> None:
        self.stream = stream
        self.scope = anyio.CancelScope()
        self.over = anyio.Event()
        self.failure: Exception | None = None

    async def handle(self, upstream: AsgiUpstream) -> None:
        try:
            with self.scope:
                await upstream.handle(self.stream)
        except Exception as exc:  # noqa: BLE001 - told to the test
            self.failure = exc
        finally:
            self.over.set()

    def leave(self) -> None:
        """What becomes of a conversation whose visitor has gone."""
        self.scope.cancel()

    @property
    def frames(self) -> list[WebSocketFrame]:
        return [each for each in self.stream.sent if isinstance(each, WebSocketFrame)]


@asynccontextmanager
async def visiting(
    upstream: AsgiUpstream, head: HttpRequest, body: Iterable[SessionPayload] = (), *, room: int | None = None
) -> AsyncIterator[Visit]:
    """A conversation that runs beside the test, and is cut off when that is done with it."""
    visit = Visit(FakeStream(head, body, room=room))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(visit.handle, upstream)
        yield visit
        visit.leave()


async def asked(upstream: AsgiUpstream, head: HttpRequest, body: Iterable[SessionPayload] = ()) -> FakeStream:
    """A conversation that has ended in order."""
    stream = FakeStream(head, body)
    await upstream.handle(stream)
    return stream
