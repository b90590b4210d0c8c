"""A visitor's side of ASGI, and targets, for tests of the ingress on any event loop."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import anyio

from tunnel.adapters.http.ingress_types import Message
from tunnel.domain.envelopes import HttpRequest
from tunnel.ports.target import ProxyTarget, Stream

DEADLINE_S = 5.0


class Target(ProxyTarget):
    """Handles with ``script`` and remembers heads and cancellations."""

    def __init__(self, script: Callable[[Stream], Awaitable[None]]) -> None:
        self._script = script
        self.heads: list[HttpRequest] = []
        self.entered = anyio.Event()
        self.cancelled = anyio.Event()

    @property
    def head(self) -> HttpRequest:
        (head,) = self.heads
        return head

    async def handle(self, stream: Stream) -> None:
        assert isinstance(stream.head, HttpRequest)
        self.heads.append(stream.head)
        self.entered.set()
        try:
            await self._script(stream)
        except anyio.get_cancelled_exc_class():
            self.cancelled.set()
            raise


class Visitor:
    """An ASGI server with one request: gives ``parts`` of its body, and keeps what is sent."""

    def __init__(self, parts: Iterable[bytes] = (), *, more: bool = False, **scope: Any) -> None:
        self.sent: list[Message] = []
        self.reads = 0
        self._feed, self._events = anyio.create_memory_object_stream[Message](math.inf)
        bodies = list(parts) or [b""]
        for number, body in enumerate(bodies):
            self.give(body, more=more or number < len(bodies) - 1)
        self.scope: dict[str, Any] = {
            "type": "http",
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": "/",
            "raw_path": b"/",
            "query_string": b"",
            "root_path": "",
            "headers": [(b"host", b"a.test")],
            "client": ("192.0.2.1", 40000),
            "server": ("192.0.2.2", 80),
        } | scope
        self.scope["headers"] = list(self.scope["headers"])

    def give(self, body: bytes, *, more: bool) -> None:
        self._feed.send_nowait({"type": "http.request", "body": body, "more_body": more})

    def leave(self) -> None:
        self._feed.send_nowait({"type": "http.disconnect"})

    async def receive(self) -> Message:
        self.reads += 1
        return await self._events.receive()

    async def send(self, message: Message) -> None:
        await anyio.lowlevel.checkpoint()
        self.sent.append(message)

    def close(self) -> None:
        self._feed.close()
        self._events.close()

    @property
    def status(self) -> int:
        status: int = self.sent[0]["status"]
        return status

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        return list(self.sent[0]["headers"])

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.sent if message["type"] == "http.response.body")

    @property
    def complete(self) -> bool:
        return bool(self.sent) and self.sent[-1].get("more_body") is False


async def visit(app: Any, visitor: Visitor) -> None:
    with anyio.fail_after(DEADLINE_S):
        await app(visitor.scope, visitor.receive, visitor.send)
    visitor.close()
