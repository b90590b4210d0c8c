"""Visitors, a tunnel and an upstream in one process, with a link that counts what crosses it."""

import asyncio
import hashlib
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

from dependency_injector import providers

import tunnel
from tunnel.adapters.clock import AnyioClock
from tunnel.app.container import ClientContainer, ServerContainer
from tunnel.domain.envelopes import Frame
from tunnel.domain.identity import PeerInfo
from tunnel.ports.transport import Link, Transport

TOKEN = "operations-token-5d1f"
SCHEMES = {"memory": "memory", "websocket": "ws", "grpc": "grpc"}
REQUEST = b"GET /small HTTP/1.1\r\nHost: app.example.test\r\nUser-Agent: guard\r\nAccept: */*\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nok\n"
DEADLINE_S = 60


class Crossed:
    """Frames and envelopes that crossed the link."""

    def __init__(self) -> None:
        self.frames = 0
        self.envelopes = 0

    def note(self, frame: Frame) -> None:
        self.frames += 1
        self.envelopes += len(frame.envelopes)


class CountingLink(Link):
    def __init__(self, link: Link, crossed: Crossed) -> None:
        self._link = link
        self._crossed = crossed

    @property
    def peer(self) -> PeerInfo:
        return self._link.peer

    async def send(self, frame: Frame) -> None:
        self._crossed.note(frame)
        await self._link.send(frame)

    @property
    def ready(self) -> bool:
        return self._link.ready

    def push(self, frame: Frame) -> None:
        self._crossed.note(frame)
        self._link.push(frame)

    async def gather(self, waiting: Callable[[], float]) -> None:
        await self._link.gather(waiting)

    async def receive(self) -> Frame:
        frame = await self._link.receive()
        self._crossed.note(frame)
        return frame

    async def aclose(self) -> None:
        await self._link.aclose()

    def abort(self) -> None:
        self._link.abort()


class CountingTransport(Transport):
    def __init__(self, transport: Transport, crossed: Crossed) -> None:
        self._transport = transport
        self._crossed = crossed

    async def connect(self, url: str, *, timeout_s: float) -> Link:
        return CountingLink(await self._transport.connect(url, timeout_s=timeout_s), self._crossed)


class Upstream(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(ANSWER * data.count(b"\r\n\r\n"))


class Visitor(asyncio.Protocol):
    """Sends requests one after another, and forgets the answers."""

    def __init__(self) -> None:
        self._left = 0
        self._text = b""
        self._done: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._text += data
        if not self._text.endswith(b"\r\n\r\nok\n"):
            return
        self._text = b""
        self._left -= 1
        if self._left:
            self.transport.write(REQUEST)
        else:
            self._done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._left and not self._done.done():
            self._done.set_exception(AssertionError(f"connection lost after {self._text!r}"))

    def visit(self, requests: int) -> "asyncio.Future[None]":
        self._left = requests
        self._done = asyncio.get_running_loop().create_future()
        self.transport.write(REQUEST)
        return self._done


def write_settings(directory: Path, transport: str, upstream: str) -> Path:
    where = 'name = "operations"' if transport == "memory" else 'listen = "127.0.0.1:0"'
    path = directory / "server.toml"
    path.write_text(
        f"""
[transports.{transport}]
{where}
[ingress.http]
listen = "127.0.0.1:0"
[auth.tokens.guard]
sha256 = "{hashlib.sha256(TOKEN.encode()).hexdigest()}"
groups = ["web"]
[[rules]]
host = "app.example.test"
group = "web"
[[groups.web.rules]]
path_prefix = "/"
upstream = "app"
[groups.web.upstreams.app]
targets = ["http://{upstream}"]
[limits]
heartbeat_s = 300
"""
    )
    return path


def write_client_settings(directory: Path, url: str) -> Path:
    path = directory / "client.toml"
    path.write_text(
        f'client_id = "guard"\ngroup = "web"\ntoken = "{TOKEN}"\nservers = ["{url}"]\n[limits]\nheartbeat_s = 300\n'
    )
    return path


async def connect_visitors(stack: AsyncExitStack, address: str, count: int) -> list[Visitor]:
    host, _, port = address.rpartition(":")
    loop = asyncio.get_running_loop()
    visitors = [(await loop.create_connection(Visitor, host, int(port)))[1] for _ in range(count)]
    for visitor in visitors:
        stack.callback(visitor.transport.abort)
    return visitors


async def start_tunnel(stack: AsyncExitStack, transport: str, directory: Path, crossed: Crossed) -> str:
    """Start upstream, server and client; returns the address of the ingress."""
    upstream = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", 0)
    stack.callback(upstream.close)
    upstream_address = "{}:{}".format(*upstream.sockets[0].getsockname())
    settings = tunnel.load_server_settings(write_settings(directory, transport, upstream_address))
    server = await connect_client(stack, transport, directory, crossed, settings)
    return server.addresses["ingress.http"]


async def connect_client(
    stack: AsyncExitStack, transport: str, directory: Path, crossed: Crossed, settings: tunnel.ServerSettings
) -> tunnel.Server:
    """Start a server of these settings, and a client of it whose link is counted."""
    server_container = ServerContainer()
    server_container.clock.override(providers.Singleton(AnyioClock))
    server = await stack.enter_async_context(tunnel.Server(settings, container=server_container))
    listening = "operations" if transport == "memory" else server.addresses[f"transport.{transport}"]
    url = f"{SCHEMES[transport]}://{listening}"
    container = ClientContainer()
    container.clock.override(providers.Singleton(AnyioClock))
    scheme = container.transports.providers[SCHEMES[transport]]
    scheme.override(providers.Object(CountingTransport(scheme(), crossed)))
    client = tunnel.Client(tunnel.load_client_settings(write_client_settings(directory, url)), container=container)
    await (await stack.enter_async_context(client)).ready()
    return server


async def visit(visitors: list[Visitor], requests: int) -> None:
    async with asyncio.timeout(DEADLINE_S):
        await asyncio.gather(*(visitor.visit(requests // len(visitors)) for visitor in visitors))
