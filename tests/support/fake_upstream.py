"""Upstreams without sockets: a function answers what is given to them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio

from tunnel.domain.envelopes import GrpcFrame, HttpRequest, HttpResponse, Opening, TcpOpen
from tunnel.domain.errors import ErrorCode, SendingStopped, SessionError
from tunnel.ports.target import Stream, UpstreamTarget

__all__ = ["FakeTarget", "FakeUpstream", "Handler", "echo"]

Handler = Callable[[Stream], Awaitable[None]]

_HTTP = frozenset({"http", "websocket"})


def _protocol(head: Opening) -> str:
    match head:
        case HttpRequest():
            return head.protocol
        case GrpcFrame():
            return "grpc"
        case TcpOpen():
            return "tcp"
        case _:
            return ""


async def echo(stream: Stream) -> None:
    """Answers 200 with the request's body, chunk by chunk."""
    head = stream.head
    assert isinstance(head, HttpRequest)
    await stream.send(HttpResponse(200, head.headers, head.body, end=head.end))
    ended = head.end
    while not ended:
        payload = await stream.receive()
        await stream.send(payload)
        ended = payload.end


class FakeTarget(UpstreamTarget):
    """Hands conversations to a function, until it is closed.

    Args:
        handler: The upstream's part. What it has begun is broken off when this is closed.
        protocols: Of the conversations that it takes.
        on_close: Called each time that this is closed.
    """

    def __init__(
        self, handler: Handler, *, protocols: frozenset[str] = _HTTP, on_close: Callable[[], None] = lambda: None
    ) -> None:
        self.handler = handler
        self._protocols = protocols
        self._on_close = on_close
        self._closed = False
        self._under_way: set[anyio.CancelScope] = set()

    async def handle(self, stream: Stream) -> None:
        if self._closed:
            raise _closed()
        if _protocol(stream.head) not in self._protocols:
            raise SessionError(ErrorCode.PROTOCOL_ERROR, f"expected one of {sorted(self._protocols)}")
        scope = anyio.CancelScope()
        self._under_way.add(scope)
        try:
            with scope:
                await self.take(stream)
        except SendingStopped:
            return
        finally:
            self._under_way.remove(scope)
        if scope.cancelled_caught:
            raise _closed()

    async def take(self, stream: Stream) -> None:
        """Answer a conversation that may be answered."""
        await self.handler(stream)

    def another(self) -> FakeTarget:
        """A target that leads here as well, and is closed by itself."""
        return FakeTarget(self.take, protocols=self._protocols, on_close=self._on_close)

    async def aclose(self) -> None:
        self._closed = True
        self._on_close()
        for scope in self._under_way:
            scope.cancel()
        await anyio.lowlevel.checkpoint()


def _closed() -> SessionError:
    return SessionError(ErrorCode.UPSTREAM_UNREACHABLE, "the target is closed")


class FakeUpstream(FakeTarget):
    """Notes conversations, and that it is closed.

    Whatever is closed with a server or client is closed for good. What outlives them is asked for ``another`` target.
    """

    def __init__(self, handler: Handler = echo, *, protocols: frozenset[str] = _HTTP) -> None:
        super().__init__(handler, protocols=protocols, on_close=self._note_closed)
        self.heads: list[Opening] = []
        self.running = 0
        self.cancelled = 0
        self.closed = 0

    async def take(self, stream: Stream) -> None:
        self.heads.append(stream.head)
        self.running += 1
        try:
            await self.handler(stream)
        except anyio.get_cancelled_exc_class():
            self.cancelled += 1
            raise
        finally:
            self.running -= 1

    def _note_closed(self) -> None:
        self.closed += 1
