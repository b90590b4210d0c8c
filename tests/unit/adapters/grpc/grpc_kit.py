"""Links over real loopback sockets, and raw gRPC peers that break the rules."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio

from tunnel.adapters.grpc.listener import GrpcListener
from tunnel.adapters.grpc.options import SERVICE
from tunnel.adapters.grpc.transport import GrpcTransport
from tunnel.domain.envelopes import (
    KIND_OF,
    BodyChunk,
    ConfigSyncRequest,
    ConfigSyncResponse,
    Envelope,
    Frame,
    Register,
    RegisterResponse,
)
from tunnel.domain.errors import LinkEnd, LinkError, RegistrationRefused
from tunnel.domain.identity import PeerInfo
from tunnel.ports.transport import Link, LinkService

DEADLINE_S = 15.0


class Service(LinkService):
    """Hands links to the test; a link's ``proxy`` returns when ``let_go`` is called."""

    def __init__(self, refusal: RegistrationRefused | None = None) -> None:
        self.links: asyncio.Queue[Link] = asyncio.Queue()
        self.registered: list[tuple[Register, PeerInfo]] = []
        self.asked: list[ConfigSyncRequest] = []
        self._refusal = refusal
        self._let_go = asyncio.Event()

    async def proxy(self, link: Link) -> None:
        self.links.put_nowait(link)
        await self._let_go.wait()

    def let_go(self) -> None:
        self._let_go.set()

    async def register(self, request: Register, peer: PeerInfo) -> RegisterResponse:
        if self._refusal is not None:
            raise self._refusal
        self.registered.append((request, peer))
        return RegisterResponse("tunnel", b"token", "server", 1)

    async def config_sync(self, request: ConfigSyncRequest, peer: PeerInfo) -> ConfigSyncResponse:
        if self._refusal is not None:
            raise self._refusal
        self.asked.append(request)
        return ConfigSyncResponse(3, "hash", b"{}")


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run ``scenario`` on an event loop of its own; it must leave no task behind."""

    async def main() -> None:
        async with asyncio.timeout(DEADLINE_S):
            await scenario()
        await eventually(lambda: len(asyncio.all_tasks()) == 1)

    asyncio.run(main())


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110  # gRPC ends things without telling
            await asyncio.sleep(0)


@asynccontextmanager
async def listening(service: LinkService, **options: Any) -> AsyncIterator[GrpcListener]:
    listener = GrpcListener("127.0.0.1:0", **options)
    listener.bind()
    started = asyncio.Event()
    serving = asyncio.create_task(listener.serve(service, started.set))
    await started.wait()
    try:
        yield listener
    finally:
        listener.stop()
        await serving


@asynccontextmanager
async def pair(service: Service | None = None) -> AsyncIterator[tuple[Link, Link]]:
    """Both ends of a link: the client's and the server's."""
    service = service or Service()
    async with listening(service) as listener:
        client = await connect(listener.address)
        try:
            yield client, await service.links.get()
        finally:
            service.let_go()
            await client.aclose()


async def connect(address: str, *, timeout_s: float = 5.0) -> Link:
    return await GrpcTransport().connect(f"grpc://{address}", timeout_s=timeout_s)


@asynccontextmanager
async def raw_server(proxy: Callable[[Any, Any], Awaitable[None]] | None, service: str = SERVICE) -> AsyncIterator[str]:
    """A gRPC server whose Proxy method is ``proxy``, bytes in and out; yields its address."""
    server = grpc.aio.server()
    if proxy is not None:
        handler = grpc.stream_stream_rpc_method_handler(proxy)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Proxy": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(1)


@asynccontextmanager
async def raw_call(address: str) -> AsyncIterator[Any]:
    """A Proxy call whose messages are bytes."""
    async with grpc.aio.insecure_channel(address) as channel:
        call = channel.stream_stream(f"/{SERVICE}/Proxy")()
        await call.initial_metadata()
        yield call
        call.cancel()


def chunk(seq: int, size_bytes: int = 1) -> Frame:
    return Frame((Envelope(1, KIND_OF[BodyChunk], BodyChunk(bytes(size_bytes))),), seq=seq)


async def end_of(attempt: Awaitable[object]) -> LinkEnd:
    try:
        await attempt
    except LinkError as error:
        return error.end
    raise AssertionError("did not raise LinkError")


async def received(link: Link) -> tuple[list[int], LinkEnd]:
    """The numbers of all frames that come, and how the link ended."""
    numbers: list[int] = []
    while True:
        try:
            numbers.append((await link.receive()).seq)
        except LinkError as error:
            return numbers, error.end
