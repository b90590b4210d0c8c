"""What the tests of the HTTP upstream share: a conversation in memory and a web server that says any bytes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable

import pytest

from tunnel.adapters.http.upstream import HttpUpstream
from tunnel.domain.envelopes import BodyChunk, HttpRequest, HttpResponse, SessionPayload, Trailers
from tunnel.domain.errors import SessionError

DEADLINE_S = 10.0

LOOPS = [
    ("asyncio", {"use_uvloop": False}),
    ("asyncio", {"use_uvloop": True}),
]


class FakeStream:
    """A conversation: gives out ``incoming`` and collects what is sent. ``gate`` closed makes ``send`` wait."""

    def __init__(self, head: HttpRequest, incoming: Iterable[SessionPayload | BaseException] = ()) -> None:
        self._head = head
        self._incoming: asyncio.Queue[SessionPayload | BaseException] = asyncio.Queue()
        for payload in incoming:
            self._incoming.put_nowait(payload)
        self._changed = asyncio.Event()
        self.sent: list[SessionPayload] = []
        self.waiting: SessionPayload | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.refuse_from: tuple[int, Exception] | None = None
        self.error: SessionError | None = None

    @property
    def head(self) -> HttpRequest:
        return self._head

    def push(self, payload: SessionPayload | BaseException) -> None:
        self._incoming.put_nowait(payload)

    async def receive(self) -> SessionPayload:
        payload = await self._incoming.get()
        self._changed.set()
        if isinstance(payload, BaseException):
            raise payload
        return payload

    async def send(self, payload: SessionPayload) -> None:
        if self.refuse_from is not None and len(self.sent) >= self.refuse_from[0]:
            raise self.refuse_from[1]
        if not self.gate.is_set():
            self.waiting = payload
            self._changed.set()
            await self.gate.wait()
            self.waiting = None
        self.sent.append(payload)
        self._changed.set()

    def reset(self, error: SessionError) -> None:
        self.error = self.error or error

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    @property
    def unread(self) -> int:
        return self._incoming.qsize()

    @property
    def response(self) -> HttpResponse:
        head = self.sent[0]
        assert isinstance(head, HttpResponse)
        return head

    @property
    def body(self) -> bytes:
        return b"".join(
            each.data if isinstance(each, BodyChunk) else each.body
            for each in self.sent
            if isinstance(each, BodyChunk | HttpResponse)
        )

    @property
    def trailers(self) -> Trailers | None:
        last = self.sent[-1]
        return last if isinstance(last, Trailers) else None

    @property
    def ended(self) -> bool:
        return bool(self.sent) and self.sent[-1].end


class Visit:
    """One connection as the web server sees it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def request(self) -> bytes:
        """A head, up to and with its empty line."""
        return await self.reader.readuntil(b"\r\n\r\n")

    async def say(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()

    async def answer(self, *pieces: bytes) -> bytes:
        head = await self.request()
        await self.say(*pieces)
        return head

    async def gone(self) -> bytes:
        """What the other side still says until it closes."""
        with contextlib.suppress(ConnectionResetError):
            return await self.reader.read()
        return b""

    async def half_close(self) -> None:
        self.writer.write_eof()

    def reset(self) -> None:
        self.writer.transport.abort()


class RawServer:
    """A web server on loopback; the test plays its part through ``visit``."""

    def __init__(self) -> None:
        self._arrived: asyncio.Queue[Visit] = asyncio.Queue()
        self._visits: list[Visit] = []
        self.count = 0
        self.target = ""

    def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.count += 1
        visit = Visit(reader, writer)
        self._visits.append(visit)
        self._arrived.put_nowait(visit)

    async def visit(self) -> Visit:
        async with asyncio.timeout(DEADLINE_S):
            return await self._arrived.get()

    def close(self) -> None:
        for visit in self._visits:
            visit.writer.transport.abort()


@contextlib.asynccontextmanager
async def raw_server(**tls: object) -> AsyncIterator[RawServer]:
    raw = RawServer()
    server = await asyncio.start_server(raw.connected, "127.0.0.1", 0, **tls)  # type: ignore[arg-type]
    host, port = server.sockets[0].getsockname()[:2]
    raw.target = f"http://{host}:{port}"
    try:
        yield raw
    finally:
        server.close()
        raw.close()
        await server.wait_closed()


@contextlib.asynccontextmanager
async def upstream_of(target: str, **settings: object) -> AsyncIterator[HttpUpstream]:
    settings.setdefault("permits", lambda host, port, address: True)
    upstream = HttpUpstream(target=target, **settings)  # type: ignore[arg-type]
    try:
        async with asyncio.timeout(DEADLINE_S):
            yield upstream
    finally:
        await upstream.aclose()
        assert upstream.open_connections == 0


@contextlib.asynccontextmanager
async def pair(**settings: object) -> AsyncIterator[tuple[HttpUpstream, RawServer]]:
    async with raw_server() as server, upstream_of(server.target, **settings) as upstream:
        yield upstream, server


def request(method: str = "GET", path: bytes = b"/", *headers: bytes, **rest: object) -> HttpRequest:
    rest.setdefault("end", True)
    rest.setdefault("host", b"a.test")
    return HttpRequest(method, path, headers=(b"Host", b"a.test", *headers), **rest)  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def handling(upstream: HttpUpstream, stream: FakeStream) -> AsyncIterator[asyncio.Task[None]]:
    """Runs ``handle`` beside the body, which plays the web server; awaits it at the end unless cancelled."""
    task = asyncio.create_task(upstream.handle(stream))
    try:
        yield task
        if not task.cancelling():
            await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def ask(upstream: HttpUpstream, server_side: Callable[[], object], head: HttpRequest | None = None) -> FakeStream:
    """One exchange; ``server_side()`` is awaited beside it."""
    stream = FakeStream(head or request())
    async with handling(upstream, stream):
        await server_side()  # type: ignore[misc]
    return stream


async def said(server, answer):
    visit = await server.visit()
    await visit.answer(answer)
    return visit


async def lost(server):
    visit = await server.visit()
    await visit.gone()


async def first_exchange(upstream, server, answer=OK):
    visits = []

    async def serve():
        visits.append(await said(server, answer))

    await ask(upstream, serve)
    return visits[0]


async def failure(upstream, stream, serve):
    """The error that ``handle`` raises while ``serve`` plays the web server."""
    task = asyncio.create_task(upstream.handle(stream))
    await serve()
    with pytest.raises(SessionError) as raised:
        await task
    return raised.value


async def reached(condition):
    """Let the loop run until the condition holds; the deadline is the caller's."""
    while not condition():  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0)


async def later(delay_s):
    """Time that has to pass because a real timer is under test."""
    passed = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(delay_s, passed.set_result, None)
    await passed
