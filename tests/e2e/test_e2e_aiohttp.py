"""An aiohttp.web application on a port of its own, exposed by its URL over every kind of link.

It runs in the process that exposes it, on the same event loop, as it does where people have both.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

import tunnel
from tunnel.domain.configuration import decode_server_settings

web = pytest.importorskip("aiohttp.web")
aiohttp = pytest.importorskip("aiohttp")

TOKEN = "aiohttp-token"
HOST = "demo.localhost"
TRANSPORTS = {"memory": "memory://{}", "grpc": "grpc://{}", "websocket": "ws://{}"}
PART = b"0123456789abcdef" * 256
PARTS = 200
WITHIN_S = 20


class Site:
    """The application. ``/events`` goes on when ``go`` is set; ``gone`` is set when a visitor of ``/endless`` left."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.gone = asyncio.Event()
        self.application = web.Application()
        self.application.router.add_get("/small", self._small)
        self.application.router.add_post("/upload", self._upload)
        self.application.router.add_post("/echo", self._echo)
        self.application.router.add_get("/download", self._download)
        self.application.router.add_get("/events", self._events)
        self.application.router.add_get("/endless", self._endless)
        self.application.router.add_get("/socket", self._socket)
        self.application.router.add_get("/refused", self._refused)

    async def _small(self, request: Any) -> Any:
        return web.json_response({"host": request.host, "remote": request.headers["X-Forwarded-For"]})

    async def _upload(self, request: Any) -> Any:
        digest, size = hashlib.sha256(), 0
        async for part in request.content.iter_any():
            digest.update(part)
            size += len(part)
        return web.json_response(
            {
                "size": size,
                "sha256": digest.hexdigest(),
                "length": request.headers.get("Content-Length"),
                "encoding": request.headers.get("Transfer-Encoding"),
            }
        )

    async def _echo(self, request: Any) -> Any:
        response = web.StreamResponse()
        await response.prepare(request)
        async for part in request.content.iter_any():
            await response.write(part)
        return response

    async def _download(self, request: Any) -> Any:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(PARTS):
            await response.write(PART)
        return response

    async def _events(self, request: Any) -> Any:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: first\n\n")
        await self.go.wait()
        await response.write(b"data: second\n\n")
        return response

    async def _endless(self, request: Any) -> Any:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(PART)
        finally:
            self.gone.set()

    async def _socket(self, request: Any) -> Any:
        socket = web.WebSocketResponse(protocols=("chat",), max_msg_size=2**21)
        await socket.prepare(request)
        async for message in socket:
            if message.data == "enough":
                await socket.close(code=4001, message=b"as you say")
            elif message.type == aiohttp.WSMsgType.TEXT:
                await socket.send_str(message.data)
            else:
                await socket.send_bytes(message.data)
        return socket

    async def _refused(self, request: Any) -> Any:
        return web.Response(status=403, text="not you")


class Exposed(NamedTuple):
    """What is exposed, and how to get there."""

    site: Site
    ingress: str
    visitor: Any


@asynccontextmanager
async def serving(site: Site) -> AsyncIterator[str]:
    runner = web.AppRunner(site.application, handler_cancellation=True)
    await runner.setup()
    try:
        listener = web.TCPSite(runner, "127.0.0.1", 0)
        await listener.start()
        host, port = runner.addresses[0]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


async def exposed(transport: str, scenario: Callable[[Exposed], Awaitable[None]]) -> None:
    settings = decode_server_settings(
        {
            "transports": {
                transport: {"name": "aiohttp-e2e"} if transport == "memory" else {"listen": "127.0.0.1:0"},
            },
            "ingress": {"http": {"listen": "127.0.0.1:0"}},
            "auth": {"tokens": {"t": {"sha256": hashlib.sha256(TOKEN.encode()).hexdigest(), "hosts": [HOST]}}},
        }
    )
    site = Site()
    async with asyncio.timeout(WITHIN_S), serving(site) as url, tunnel.Server(settings) as server:
        to = TRANSPORTS[transport].format(server.addresses[f"transport.{transport}"])
        ingress = server.addresses["ingress.http"]
        async with (
            tunnel.expose(url, to=to, token=TOKEN, host=HOST, limits={"drain_s": 1}),
            aiohttp.ClientSession(f"http://{ingress}", headers={"Host": HOST}) as visitor,
        ):
            await scenario(Exposed(site, ingress, visitor))


@pytest.fixture(params=TRANSPORTS)
def run(request: pytest.FixtureRequest) -> Callable[[Callable[[Exposed], Awaitable[None]]], None]:
    return lambda scenario: asyncio.run(exposed(request.param, scenario))


def test_requests_and_uploads_are_what_aiohttp_expects(run: Any) -> None:
    async def scenario(at: Exposed) -> None:
        async with at.visitor.get("/small") as answer:
            assert await answer.json() == {"host": HOST, "remote": "127.0.0.1"}
        body = bytes(range(256)) * 2048
        digest = hashlib.sha256(body).hexdigest()

        async def in_chunks() -> AsyncIterator[bytes]:
            for start in range(0, len(body), 10_000):
                yield body[start : start + 10_000]

        async with at.visitor.post("/upload", data=in_chunks()) as answer:
            assert await answer.json() == {
                "size": len(body),
                "sha256": digest,
                "length": None,
                "encoding": "chunked",
            }
        async with at.visitor.post("/upload", data=body) as answer:
            assert await answer.json() == {
                "size": len(body),
                "sha256": digest,
                "length": str(len(body)),
                "encoding": None,
            }

    run(scenario)


def test_answers_stream(run: Any) -> None:
    async def scenario(at: Exposed) -> None:
        async with at.visitor.get("/download") as answer:
            assert await answer.read() == PART * PARTS
        async with at.visitor.get("/events") as answer:
            assert await answer.content.readline() == b"data: first\n"
            at.site.go.set()
            assert (await answer.content.read()).endswith(b"data: second\n\n")

    run(scenario)


def test_upload_and_answer_stream_at_the_same_time(run: Any) -> None:
    async def scenario(at: Exposed) -> None:
        heard = asyncio.Event()

        async def parts() -> AsyncIterator[bytes]:
            yield b"first"
            await heard.wait()
            yield b" second"

        async with at.visitor.post("/echo", data=parts()) as answer:
            assert await answer.content.readexactly(5) == b"first"
            heard.set()
            assert await answer.content.read() == b" second"

    run(scenario)


def test_visitor_that_leaves_is_noticed(run: Any) -> None:
    async def scenario(at: Exposed) -> None:
        async with at.visitor.get("/endless") as answer:
            assert await answer.content.readexactly(len(PART)) == PART
            answer.close()
        await at.site.gone.wait()

    run(scenario)


def test_websockets_are_what_aiohttp_expects(run: Any) -> None:
    async def scenario(at: Exposed) -> None:
        host, _, port = at.ingress.rpartition(":")
        where: dict[str, Any] = {"host": host, "port": int(port), "max_size": 2**21}
        offered = [Subprotocol("other"), Subprotocol("chat")]
        async with connect(f"ws://{HOST}/socket", subprotocols=offered, **where) as socket:
            assert socket.subprotocol == "chat"
            messages: tuple[str | bytes, ...] = ("grüß", b"\0\1", "x" * 300_000, b"y" * 1_000_000)
            for message in messages:
                await socket.send(message)
                assert await socket.recv() == message
            await socket.send("enough")
            with pytest.raises(ConnectionClosed) as ended:
                await socket.recv()
            assert ended.value.rcvd is not None
            assert (ended.value.rcvd.code, ended.value.rcvd.reason) == (4001, "as you say")
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"ws://{HOST}/refused", **where)
        assert (refused.value.response.status_code, refused.value.response.body) == (403, b"not you")
        async with at.visitor.ws_connect("/socket") as socket:
            await socket.send_str("from aiohttp to aiohttp")
            assert await socket.receive_str() == "from aiohttp to aiohttp"

    run(scenario)
