"""Links and visitors at one port: of a server's own HTTP ingress, and of an application that mounts it."""

from __future__ import annotations

import asyncio
import hashlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
import msgspec
import pytest
import uvicorn
from fastapi import FastAPI
from hypercorn.asyncio import serve as hypercorn_serve
from hypercorn.config import Config as HypercornConfig
from support.certificates import Authority
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

import tunnel
from tunnel.domain.configuration import (
    AuthSettings,
    ClientTlsSettings,
    GroupSettings,
    HttpIngressSettings,
    IngressSettings,
    Secret,
    TokenSettings,
    TransportsSettings,
    UpstreamSettings,
    WebSocketTransportSettings,
)
from tunnel.domain.configuration.tls import ListenerTlsSettings
from tunnel.domain.link_entry import LINK_PATH
from tunnel.domain.rules.rule import Rule

pytestmark = pytest.mark.anyio

TOKEN = "a-token-of-tests"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def upstream() -> AsyncIterator[str]:
    """A program that answers everything alike; yields its address."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            method, seen, _ = head.split(b" ", 2)
            if method == b"POST":
                await reader.readexactly(1)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(seen), seen))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        except (asyncio.IncompleteReadError, OSError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def settings_of(
    upstream: str, *, links: bool = True, listens: bool = True, tls: ListenerTlsSettings | None = None
) -> tunnel.ServerSettings:
    return tunnel.ServerSettings(
        transports=TransportsSettings(
            websocket=WebSocketTransportSettings(on_ingress=links, listen=None if links else "127.0.0.1:0")
        ),
        ingress=IngressSettings(http=HttpIngressSettings(listen="127.0.0.1:0", tls=tls) if listens else None),
        auth=AuthSettings(
            tokens={"laptop": TokenSettings(sha256=hashlib.sha256(TOKEN.encode()).hexdigest(), groups=("web",))}
        ),
        rules=(Rule(path_prefix="/", group="web"),),
        groups={
            "web": GroupSettings(
                rules=(Rule(path_prefix="/", upstream="app"),),
                upstreams={"app": UpstreamSettings(targets=(f"http://{upstream}",))},
            )
        },
    )


def client_of(url: str, tls: ClientTlsSettings | None = None) -> tunnel.Client:
    return tunnel.Client(
        tunnel.ClientSettings(group="web", token=Secret(TOKEN), servers=(url,), tls=tls or ClientTlsSettings())
    )


async def get(url: str, **options: Any) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False, **options) as http:
        return await http.get(url)


async def test_visitors_and_clients_share_a_port(upstream: str) -> None:
    async with tunnel.Server(settings_of(upstream)) as server:
        address = server.addresses["ingress.http"]
        assert server.addresses["transport.websocket-ingress"] == f"{address}{LINK_PATH}"
        async with client_of(f"ws://{address}{LINK_PATH}") as client, asyncio.timeout(10):
            await client.ready()
            assert (await get(f"http://{address}/a")).text == "/a"
            (member,) = server.clients().clients
            assert member


async def test_they_share_its_tls(upstream: str, tmp_path: Any) -> None:
    authority = Authority(tmp_path)
    async with tunnel.Server(settings_of(upstream, tls=authority.listener())) as server:
        address = server.addresses["ingress.http"]
        async with client_of(f"wss://{address}{LINK_PATH}", authority.client()) as client, asyncio.timeout(10):
            await client.ready()


async def test_what_is_no_link_is_told_so_and_no_rule_hears_of_it(upstream: str) -> None:
    async with tunnel.Server(settings_of(upstream)) as server:
        address = server.addresses["ingress.http"]
        async with client_of(f"ws://{address}{LINK_PATH}") as client, asyncio.timeout(10):
            await client.ready()
            plain = await get(f"http://{address}{LINK_PATH}?x=1")
            assert (plain.status_code, plain.json()["code"]) == (426, "bad_request")
            with pytest.raises(InvalidStatus) as other:
                await connect(f"ws://{address}{LINK_PATH}", subprotocols=[Subprotocol("chat")], proxy=None)
            assert other.value.response.status_code == 404
            assert (await get(f"http://{address}{LINK_PATH}/x")).text == f"{LINK_PATH}/x"


async def test_without_the_setting_the_path_is_like_any_other(upstream: str) -> None:
    async with (
        tunnel.Server(settings_of(upstream, links=False)) as server,
        client_of(f"ws://{server.addresses['transport.websocket']}") as client,
        asyncio.timeout(10),
    ):
        await client.ready()
        assert (await get(f"http://{server.addresses['ingress.http']}{LINK_PATH}")).text == LINK_PATH


async def test_a_link_that_says_nothing_is_closed_at_the_handshake_deadline(upstream: str) -> None:
    settings = settings_of(upstream)
    settings = msgspec.structs.replace(settings, limits=msgspec.structs.replace(settings.limits, handshake_s=0.1))
    async with tunnel.Server(settings) as server:
        url = f"ws://{server.addresses['ingress.http']}{LINK_PATH}"
        async with connect(url, subprotocols=[Subprotocol("tunnel.v1")], proxy=None) as silent, asyncio.timeout(10):
            await silent.wait_closed()


async def test_a_shutdown_lets_conversations_on_it_finish(upstream: str) -> None:
    async with tunnel.Server(settings_of(upstream)) as server:
        address = server.addresses["ingress.http"]
        async with client_of(f"ws://{address}{LINK_PATH}") as client, asyncio.timeout(10):
            await client.ready()
            reader, writer = await asyncio.open_connection(*address.split(":"))
            writer.write(b"POST /late HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\n\r\n")
            while not server.clients().clients[0].in_flight:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(server.aclose)
                writer.write(b"x")
                assert (await reader.read()).endswith(b"/late")
            writer.close()


async def test_links_come_and_go_by_reload(upstream: str) -> None:
    on = settings_of(upstream)
    off = msgspec.structs.replace(
        on, transports=TransportsSettings(websocket=WebSocketTransportSettings(listen="127.0.0.1:0"))
    )
    off = msgspec.structs.replace(off, limits=msgspec.structs.replace(off.limits, drain_s=0.1))
    async with tunnel.Server(off) as server:
        address = server.addresses["ingress.http"]
        for _ in range(2):
            await server.reload(msgspec.structs.replace(on, limits=off.limits))
            async with client_of(f"ws://{address}{LINK_PATH}") as client, asyncio.timeout(10):
                await client.ready()
                await server.reload(msgspec.structs.replace(on, limits=off.limits, rules=()))
                await client.ready()
                await server.reload(off)
                assert (await get(f"http://{address}{LINK_PATH}")).status_code != 426


@asynccontextmanager
async def uvicorn_of(application: Any, ws: Any = "auto") -> AsyncIterator[str]:
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(application, log_config=None, ws=ws, lifespan="on"))
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve, [listening])
        while not server.started:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
    listening.close()


@asynccontextmanager
async def hypercorn_of(application: Any, _: Any = None) -> AsyncIterator[str]:
    listening = socket.create_server(("127.0.0.1", 0))
    config = HypercornConfig()
    address = f"127.0.0.1:{listening.getsockname()[1]}"
    config.bind = [f"fd://{listening.detach()}"]
    config.graceful_timeout = 1
    over = asyncio.Event()
    async with anyio.create_task_group() as tasks:

        async def run() -> None:
            await hypercorn_serve(application, config, shutdown_trigger=over.wait)

        tasks.start_soon(run)
        yield address
        over.set()


def mounting(server: tunnel.Server) -> FastAPI:
    """An application of somebody's, whose lifespan runs the server."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with server:
            yield

    application = FastAPI(lifespan=lifespan)

    @application.get("/own")
    def own() -> str:
        return "own"

    application.mount("/", server.ingress)
    return application


@pytest.mark.parametrize("host", [uvicorn_of, hypercorn_of])
async def test_a_mounted_server_lets_links_in(host: Any, upstream: str) -> None:
    server = tunnel.Server(settings_of(upstream, listens=False))
    async with (
        asyncio.timeout(20),
        host(mounting(server)) as address,
        client_of(f"ws://{address}{LINK_PATH}") as client,
    ):
        await client.ready()
        assert (await get(f"http://{address}/own")).json() == "own"
        assert (await get(f"http://{address}/through")).text == "/through"
        assert (await get(f"http://{address}{LINK_PATH}")).status_code == 426


async def test_below_a_path_links_are_below_it_too(upstream: str) -> None:
    server = tunnel.Server(settings_of(upstream, listens=False))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with server:
            yield

    application = FastAPI(lifespan=lifespan)
    application.mount("/edge", server.ingress)
    async with (
        asyncio.timeout(20),
        uvicorn_of(application) as address,
        client_of(f"ws://{address}/edge{LINK_PATH}") as client,
    ):
        await client.ready()


async def test_server_and_clients_live_in_one_loop_twice(upstream: str) -> None:
    async with tunnel.Server(settings_of(upstream)) as one, tunnel.Server(settings_of(upstream)) as other:
        urls = [f"ws://{each.addresses['ingress.http']}{LINK_PATH}" for each in (one, one, other)]
        async with client_of(urls[0]) as a, client_of(urls[1]) as b, client_of(urls[2]) as c, asyncio.timeout(10):
            for client in (a, b, c):
                await client.ready()
            assert (len(one.clients().clients), len(other.clients().clients)) == (2, 1)
            for server in (one, other):
                assert (await get(f"http://{server.addresses['ingress.http']}/x")).text == "/x"
