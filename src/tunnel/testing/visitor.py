"""A visitor of an ASGI application in this process, such as the ingress of a server."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any, Final, TypeAlias
from urllib.parse import unquote_to_bytes

import anyio
import msgspec

__all__ = ["Answer", "Exchange", "Visitor"]

AsgiApplication: TypeAlias = Callable[
    [Any, Callable[[], Awaitable[MutableMapping[str, Any]]], Callable[[Any], Awaitable[None]]], Awaitable[None]
]
HeaderPairs: TypeAlias = Iterable[tuple[str, str]]

_ADDRESS: Final = ("192.0.2.1", 50000)
"""Of the visitor, from the range kept for documentation."""


class Answer(msgspec.Struct, frozen=True):
    """What a visitor got.

    Args:
        status: Of the response.
        headers: Names in lower case and values, in order.
        body: All that came.
        complete: Whether the body ended as it should, and was not cut short.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    complete: bool

    def header(self, name: str) -> str | None:
        """The value of the first field of that name, in whatever case; None when there is none."""
        return next((value for each, value in self.headers if each == name.lower()), None)

    @property
    def text(self) -> str:
        """The body as UTF-8."""
        return self.body.decode()

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Exchange:
    """A request under way. Iterate it for the response's body, chunk by chunk as they come.

    A response is read as fast as it is iterated: an application that sends more waits.
    """

    def __init__(self, chunks: Iterable[bytes], *, ended: bool) -> None:
        self.status = 0
        """Of the response, once it has started."""
        self.headers: tuple[tuple[str, str], ...] = ()
        """Of the response, once it has started."""
        self.complete = False
        """Whether the response ended as it should; False as long as it goes on, and when it was cut short."""
        self._input = deque(chunks)
        self._input_ended = ended
        self._told_end = False
        self._left = False
        self._chunk: bytes | None = None
        self._over = False
        self._news = anyio.Event()

    def feed(self, chunk: bytes, *, end: bool = False) -> None:
        """Send more of the request's body; only where the request was begun without ``end``."""
        self._input.append(chunk)
        self._input_ended = end
        self._changed()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        await self._until(lambda: self._chunk is not None or self._over or self.complete)
        chunk, self._chunk = self._chunk, None
        if chunk is None:
            raise StopAsyncIteration
        self._changed()
        return chunk

    async def answer(self) -> Answer:
        """All of the response, from here to its end."""
        body = b"".join([chunk async for chunk in self])
        return Answer(self.status, self.headers, body, self.complete)

    # -- what the application calls

    async def _receive(self) -> MutableMapping[str, Any]:
        await self._until(lambda: self._input or self._left or self.complete or (self._input_ended != self._told_end))
        if self._input or (self._input_ended and not self._told_end):
            chunk = self._input.popleft() if self._input else b""
            self._told_end = self._input_ended and not self._input
            return {"type": "http.request", "body": chunk, "more_body": not self._told_end}
        return {"type": "http.disconnect"}

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = tuple(
                (name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in message.get("headers", ())
            )
        elif message["type"] == "http.response.body":
            await self._until(lambda: self._chunk is None or self._left)
            self._chunk = message.get("body", b"") or self._chunk
            self.complete = not message.get("more_body", False)
        self._changed()

    # -- inside

    async def _run(self, application: AsgiApplication, scope: dict[str, Any]) -> None:
        try:
            await application(scope, self._receive, self._send)
        finally:
            self._over = True
            self._changed()

    async def _until(self, condition: Callable[[], object]) -> None:
        while not condition():
            await self._news.wait()

    def _changed(self) -> None:
        news, self._news = self._news, anyio.Event()
        news.set()

    def _leave(self) -> None:
        self._left = True
        self._changed()


class Visitor:
    """Makes requests of an ASGI application by calling it, on any event loop anyio runs on.

    Args:
        application: The application.
        host: What is asked for where a request says nothing else.
    """

    def __init__(self, application: AsgiApplication, *, host: str = "app.test") -> None:
        self._application = application
        self._host = host

    async def get(self, target: str, *, headers: HeaderPairs = ()) -> Answer:
        """``request`` with GET."""
        return await self.request("GET", target, headers=headers)

    async def post(self, target: str, body: bytes = b"", *, headers: HeaderPairs = ()) -> Answer:
        """``request`` with POST."""
        return await self.request("POST", target, headers=headers, body=body)

    async def request(self, method: str, target: str, *, headers: HeaderPairs = (), body: bytes = b"") -> Answer:
        """Make a request, and wait for all of the response.

        Args:
            method: ``GET``.
            target: Path and query, as they stand in a request: ``/search?q=a``.
            headers: Beside ``Host``, which may be among them, and ``Content-Length``, which is added for a body.
            body: All of it.
        """
        async with self.exchange(method, target, headers=headers, body=body) as exchange:
            return await exchange.answer()

    @asynccontextmanager
    async def exchange(
        self, method: str, target: str, *, headers: HeaderPairs = (), body: bytes | None = None
    ) -> AsyncIterator[Exchange]:
        """Make a request, and go on when the response has started, while both bodies may still be on their way.

        Leaving the block before the end of the response is leaving as a visitor: the application is told, and
        cancelled if it goes on.

        Args:
            method: ``POST``.
            target: As in ``request``.
            headers: As in ``request``.
            body: All of it; None: it comes by ``Exchange.feed``, to which the response then need not wait.
        """
        fields = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        if all(name != b"host" for name, _ in fields):
            fields.insert(0, (b"host", self._host.encode()))
        if body is None:
            fields.append((b"transfer-encoding", b"chunked"))
        elif body:
            fields.append((b"content-length", str(len(body)).encode()))
        exchange = Exchange([body] if body else [], ended=body is not None)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(exchange._run, self._application, _scope(method, target, fields))
            if body is not None:
                await exchange._until(lambda: exchange.status or exchange._over)
            try:
                yield exchange
            finally:
                exchange._leave()
                tasks.cancel_scope.cancel()


def _scope(method: str, target: str, headers: list[tuple[bytes, bytes]]) -> dict[str, Any]:
    path, _, query = target.encode().partition(b"?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote_to_bytes(path).decode("utf-8", "replace"),
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": headers,
        "client": _ADDRESS,
        "server": ("app.test", 80),
    }
