"""Visitors that speak bytes to our own listener, and targets, for tests on asyncio and uvloop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import anyio
import pytest
from ingress_kit import DEADLINE_S, Target

from tunnel.adapters.http import ingress_protocol
from tunnel.adapters.http.ingress_protocol import IngressProtocol
from tunnel.adapters.http.ingress_timer import Due
from tunnel.adapters.http.ingress_types import IngressSettings
from tunnel.adapters.http.ingress_uvicorn import UvicornIngress
from tunnel.domain.envelopes import BodyChunk, HttpRequest, HttpResponse
from tunnel.ports.target import Stream

GET = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"
CHUNKED_POST = b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n"


class HandClock:
    """Has the deadlines of connections come when a test says that time passes, and never otherwise."""

    def __init__(self) -> None:
        self._now_s = 0.0
        self._deadlines: list[HandDeadline] = []

    @classmethod
    def of_connections(cls, monkeypatch: pytest.MonkeyPatch) -> HandClock:
        """One that every connection made from now on goes by."""
        clock = cls()
        monkeypatch.setattr(ingress_protocol, "Deadline", clock._deadline)
        return clock

    def _deadline(self, _: asyncio.AbstractEventLoop, callback: Callable[[Due], None]) -> HandDeadline:
        deadline = HandDeadline(self, callback)
        self._deadlines.append(deadline)
        return deadline

    def time(self) -> float:
        return self._now_s

    def pass_time(self, seconds: float) -> None:
        self._now_s += seconds
        for deadline in self._deadlines:
            deadline.look()


class HandDeadline:
    """What a connection has instead of a ``Deadline``."""

    def __init__(self, clock: HandClock, callback: Callable[[Due], None]) -> None:
        self._clock = clock
        self._callback = callback
        self._at: float | None = None
        self.due = Due.NOTHING

    def set(self, due: Due, delay_s: float) -> None:
        self.due = due
        self._at = self._clock.time() + delay_s

    def clear(self) -> None:
        self.due = Due.NOTHING
        self._at = None

    def close(self) -> None:
        self._at = None

    def look(self) -> None:
        if self._at is not None and self._at <= self._clock.time():
            due = self.due
            self.clear()
            self._callback(due)


@dataclass
class Visitor:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def say(self, data: bytes) -> None:
        self.writer.write(data)

    async def head(self) -> tuple[int, list[tuple[bytes, bytes]]]:
        async with asyncio.timeout(DEADLINE_S):
            raw = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = raw[:-4].split(b"\r\n")
        fields = [tuple(line.split(b": ", 1)) for line in lines]
        return int(first.split(b" ")[1]), fields  # type: ignore[return-value]

    async def response(self) -> tuple[int, dict[bytes, bytes], bytes]:
        status, fields = await self.head()
        headers = dict(fields)
        return status, headers, await self.bytes(int(headers[b"content-length"]))

    async def bytes(self, size: int) -> bytes:
        async with asyncio.timeout(DEADLINE_S):
            return await self.reader.readexactly(size)

    async def rest(self) -> bytes:
        """What comes until the server closes."""
        async with asyncio.timeout(DEADLINE_S):
            return await self.reader.read()

    def leave(self) -> None:
        self.writer.transport.abort()


@dataclass
class Running:
    ingress: UvicornIngress
    serving: asyncio.Task[None]
    visitors: list[Visitor]

    async def visitor(self, *, limit: int = 2**16) -> Visitor:
        host, port = self.ingress.address.rsplit(":", 1)
        visitor = Visitor(*await asyncio.open_connection(host.strip("[]"), int(port), limit=limit))
        self.visitors.append(visitor)
        return visitor

    def connections(self) -> int:
        """How many there are, as the server sees it."""
        assert self.ingress._server is not None
        return len(self.ingress._server.server_state.connections)

    def connection(self) -> IngressProtocol:
        """The only one, as the server sees it."""
        assert self.ingress._server is not None
        (connection,) = self.ingress._server.server_state.connections
        assert isinstance(connection, IngressProtocol)
        return connection

    async def forgotten(self) -> None:
        """The server has no connection any more."""
        assert self.ingress._server is not None
        async with asyncio.timeout(DEADLINE_S):
            while self.ingress._server.server_state.connections:  # noqa: ASYNC110
                await asyncio.sleep(0)

    async def served(self) -> None:
        async with asyncio.timeout(DEADLINE_S):
            await self.serving


@contextlib.asynccontextmanager
async def running(
    script: Callable[[Stream], Awaitable[None]] | Target, *, listen: str = "127.0.0.1:0", **settings: Any
) -> AsyncIterator[Running]:
    ingress = UvicornIngress(listen, settings=IngressSettings(**settings))
    ingress.bind()
    started = asyncio.Event()
    target = script if isinstance(script, Target) else Target(script)
    serving = asyncio.create_task(ingress.serve(target, started.set))
    run = Running(ingress, serving, [])
    try:
        async with asyncio.timeout(DEADLINE_S):
            await started.wait()
        yield run
    finally:
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving
        for visitor in run.visitors:
            visitor.writer.close()
            with contextlib.suppress(OSError):
                await visitor.writer.wait_closed()


async def within(waiting: Awaitable[Any]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        await waiting


async def hello(stream: Stream) -> None:
    await stream.send(HttpResponse(200, (), b"hello", end=True))


async def tell_path(stream: Stream) -> None:
    assert isinstance(stream.head, HttpRequest)
    await stream.send(HttpResponse(200, (), stream.head.path, end=True))


async def echo(stream: Stream) -> None:
    assert isinstance(stream.head, HttpRequest)
    body, end = stream.head.body, stream.head.end
    while not end:
        part = await stream.receive()
        if isinstance(part, BodyChunk):
            body += part.data
        end = part.end
    await stream.send(HttpResponse(200, (), body, end=True))


async def forever(stream: Stream) -> None:
    await anyio.sleep_forever()


MOST_SAID = 100_000
"""Far more than anybody gets to say to a visitor that is gone."""


def gone_after(run: Running, request: bytes) -> Callable[[], None]:
    """Say ``request`` as a visitor whose socket belongs to no event loop; what is returned resets it at once."""
    host, port = run.ingress.address.rsplit(":", 1)
    visitor = socket.create_connection((host.strip("[]"), int(port)))
    visitor.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    visitor.sendall(request)
    return visitor.close
