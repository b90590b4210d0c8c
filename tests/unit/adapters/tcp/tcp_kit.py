"""What the tests of TCP share: a listener with a scripted target, peers on plain sockets, a conversation in memory."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable

from tunnel.adapters.tcp.ingress import TcpIngress
from tunnel.domain.envelopes import BodyChunk, SessionPayload, TcpOpen
from tunnel.domain.errors import SessionError
from tunnel.ports.target import ProxyTarget, Stream

DEADLINE_S = 10.0
LOOPS = [("asyncio", {"use_uvloop": False}), ("asyncio", {"use_uvloop": True})]
END = BodyChunk(b"", end=True)

_RESET = struct.pack("ii", 1, 0)


class Peer:
    """The other end of a connection, by its own hand: everything waits for the socket alone."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.socket = sock

    async def say(self, data: bytes) -> None:
        async with asyncio.timeout(DEADLINE_S):
            await asyncio.get_running_loop().sock_sendall(self.socket, data)

    async def say_until_stuck(self, data: bytes, *, most_bytes: int) -> int:
        """Say ``data`` over and over; how many bytes went before nothing moved for a while."""
        said = 0
        with contextlib.suppress(TimeoutError):
            while said < most_bytes:
                async with asyncio.timeout(0.1):
                    await asyncio.get_running_loop().sock_sendall(self.socket, data)
                said += len(data)
        return said

    async def hear(self, most_bytes: int = 1 << 18) -> bytes:
        async with asyncio.timeout(DEADLINE_S):
            return await asyncio.get_running_loop().sock_recv(self.socket, most_bytes)

    async def take(self, size: int) -> bytes:
        heard = b""
        while len(heard) < size:
            data = await self.hear(size - len(heard))
            assert data, f"it ended after {heard!r}"
            heard += data
        return heard

    async def rest(self) -> bytes:
        heard = []
        while data := await self.hear():
            heard.append(data)
        return b"".join(heard)

    async def was_reset(self) -> bool:
        try:
            await self.rest()
        except ConnectionResetError:
            return True
        return False

    async def is_broken(self) -> bool:
        """Whether, before long, nothing can be said any more."""
        try:
            for _ in range(10_000):
                await self.say(b"x")
                await asyncio.sleep(0)
        except (ConnectionResetError, BrokenPipeError):
            return True
        return False

    def half_close(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.close()

    def close(self) -> None:
        self.socket.close()


class Target(ProxyTarget):
    """Does what it is told with each conversation, and keeps how each ended."""

    def __init__(self, script: Callable[[Stream], Awaitable[None]]) -> None:
        self._script = script
        self.heads: list[TcpOpen] = []
        self.running = 0
        self.cancelled = 0

    async def handle(self, stream: Stream) -> None:
        assert isinstance(stream.head, TcpOpen)
        self.heads.append(stream.head)
        self.running += 1
        try:
            await self._script(stream)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1


class Running:
    def __init__(self, ingress: TcpIngress, target: Target, serving: asyncio.Task[None]) -> None:
        self.ingress = ingress
        self.target = target
        self.serving = serving
        self.visitors: list[Peer] = []

    async def visitor(self, *, receive_bytes: int | None = None) -> Peer:
        host, _, port = self.ingress.address.rpartition(":")
        sock = socket.socket()
        if receive_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        visitor = Peer(sock)
        self.visitors.append(visitor)
        await asyncio.get_running_loop().sock_connect(sock, (host, int(port)))
        return visitor

    async def served(self) -> None:
        async with asyncio.timeout(DEADLINE_S):
            await self.serving


@contextlib.asynccontextmanager
async def serving(script: Callable[[Stream], Awaitable[None]], **options: int) -> AsyncIterator[Running]:
    """A listener whose conversations ``script`` handles."""
    ingress = TcpIngress("127.0.0.1:0", name="tcp-test", upstream="test", **options)
    ingress.bind()
    target = Target(script)
    started = asyncio.Event()
    run = Running(ingress, target, asyncio.create_task(ingress.serve(target, started.set)))
    try:
        async with asyncio.timeout(DEADLINE_S):
            await started.wait()
        yield run
    finally:
        run.serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await run.serving
        for visitor in run.visitors:
            visitor.close()


class Listening:
    """An upstream whose connections a test takes one by one."""

    def __init__(self, *, backlog: int = 16, receive_bytes: int | None = None) -> None:
        self._socket = socket.socket()
        if receive_bytes is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen(backlog)
        self._socket.setblocking(False)
        self.port: int = self._socket.getsockname()[1]
        self.target = f"tcp://127.0.0.1:{self.port}"
        self._peers: list[Peer] = []

    async def accept(self) -> Peer:
        async with asyncio.timeout(DEADLINE_S):
            sock, _ = await asyncio.get_running_loop().sock_accept(self._socket)
        peer = Peer(sock)
        self._peers.append(peer)
        return peer

    def __enter__(self) -> Listening:
        return self

    def __exit__(self, *_: object) -> None:
        for each in (*self._peers, self._socket):
            each.close()


class Conversation(Stream):
    """A conversation in memory: gives out what is pushed, keeps what is sent. ``gate`` closed makes ``send`` wait."""

    def __init__(self, *payloads: SessionPayload | BaseException, head: TcpOpen | None = None) -> None:
        self._head = head or TcpOpen("test")
        self._incoming: asyncio.Queue[SessionPayload | BaseException] = asyncio.Queue()
        self.push(*payloads)
        self._changed = asyncio.Event()
        self.sent: list[BodyChunk] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.blocked = False
        self.error: SessionError | None = None

    @property
    def head(self) -> TcpOpen:
        return self._head

    def push(self, *payloads: SessionPayload | BaseException) -> None:
        for payload in payloads:
            self._incoming.put_nowait(payload)

    async def receive(self) -> SessionPayload:
        payload = await self._incoming.get()
        if isinstance(payload, BaseException):
            raise payload
        return payload

    async def send(self, payload: SessionPayload) -> None:
        assert isinstance(payload, BodyChunk)
        self.blocked = not self.gate.is_set()
        self._changed.set()
        await self.gate.wait()
        self.blocked = False
        self.sent.append(payload)
        self._changed.set()

    def reset(self, error: SessionError) -> None:
        self.error = self.error or error

    @property
    def data(self) -> bytes:
        return b"".join(each.data for each in self.sent)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


async def echo(stream: Stream) -> None:
    """Send back what comes, to the end."""
    end = False
    while not end:
        chunk = await stream.receive()
        end = chunk.end
        await stream.send(chunk)


async def holds(condition: Callable[[], bool]) -> None:
    """Return once ``condition`` holds; for what tells nobody when it changes."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0)
