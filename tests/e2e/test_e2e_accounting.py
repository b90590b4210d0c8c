"""What is told of calls, sockets and connections on real listeners: each once, with what became of it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import struct
import tomllib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from dependency_injector import providers
from e2e_topologies import unused_port
from support.app_kit import Recorder
from support.call_app import CallApp, script
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.http11 import Request, Response

import tunnel
from tunnel.app.container import ServerContainer
from tunnel.domain.configuration import decode_client_settings, decode_server_settings
from tunnel.ports.telemetry import SessionEnded, SessionFailed

pytestmark = pytest.mark.anyio

TOKEN = "accounting-token"
DEADLINE_S = 20.0
SERVER = """
[transports.memory]
name = "accounting"
[ingress.http]
listen = "127.0.0.1:0"
[ingress.grpc]
listen = "127.0.0.1:0"
[[ingress.tcp]]
listen = "127.0.0.1:0"
group = "web"
upstream = "bytes"
[[ingress.tcp]]
listen = "127.0.0.1:0"
group = "web"
upstream = "nobody"
[auth.tokens.e2e]
sha256 = "{digest}"
groups = ["web"]
[access_log]
path = {log}
format = "json"
[[rules]]
host = "app.test"
group = "web"
[[rules]]
service = "known.S"
group = "web"
[[groups.web.rules]]
service = "known.S"
upstream = "calls"
[[groups.web.rules]]
upstream = "app"
[groups.web.upstreams.app]
targets = ["http://127.0.0.1:{web}"]
[groups.web.upstreams.calls]
targets = ["grpc://127.0.0.1:{calls}"]
[groups.web.upstreams.bytes]
targets = ["tcp://127.0.0.1:{bytes}"]
[groups.web.upstreams.nobody]
targets = ["tcp://127.0.0.1:{unused}"]
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class World:
    """A server with every listener, a client, and an application behind each."""

    def __init__(self, server: tunnel.Server, told: Recorder, log: Path) -> None:
        self.server = server
        self.told = told
        self.log = log
        self.sockets: list[ServerConnection] = []
        self.calls = CallApp()

    def channel(self) -> grpc.aio.Channel:
        options = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0))
        return grpc.aio.insecure_channel(self.server.addresses["ingress.grpc"], options)

    def socket(self, path: str = "/", **options: Any) -> connect:
        host, _, port = self.server.addresses["ingress.http"].rpartition(":")
        return connect(
            f"ws://app.test{path}",
            host=host,
            port=int(port),
            proxy=None,
            compression=None,
            ping_interval=None,
            **options,
        )

    async def connection(self, upstream: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, _, port = self.server.addresses[f"ingress.tcp-{upstream}"].rpartition(":")
        return await asyncio.open_connection(host, int(port))

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not holds():  # noqa: ASYNC110
                await asyncio.sleep(0.002)

    async def record(self) -> SessionEnded:
        """Of the one conversation that there was."""
        await self.until(lambda: self.told.of(SessionEnded))
        (record,) = self.told.of(SessionEnded)
        assert record.peer == "127.0.0.1"
        return record

    def failures(self) -> list[str]:
        return [each.code for each in self.told.of(SessionFailed)]


async def repeat(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(4096):
            writer.write(data)
    writer.close()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async def talk(connection: ServerConnection) -> None:
        assert connection.request is not None
        made.sockets.append(connection)
        if connection.request.path == "/bye":
            await connection.close(4001, "bye")
        with contextlib.suppress(ConnectionClosed):
            async for message in connection:
                await connection.send(message)

    def answer(connection: ServerConnection, request: Request) -> Response | None:
        return connection.respond(403, "no\n") if request.path == "/no" else None

    told, log = Recorder(wants_sessions=True), tmp_path / "access.log"
    container = ServerContainer()
    container.telemetry.override(providers.Object(told))
    calls = CallApp()
    await calls.start()
    stream = await asyncio.start_server(repeat, "127.0.0.1", 0)
    async with serve(talk, "127.0.0.1", 0, process_request=answer) as web:
        text = SERVER.format(
            digest=hashlib.sha256(TOKEN.encode()).hexdigest(),
            log=json.dumps(str(log)),
            web=web.sockets[0].getsockname()[1],
            calls=calls.port,
            bytes=stream.sockets[0].getsockname()[1],
            unused=unused_port(),
        )
        client = {"group": "web", "client_id": "one", "token": TOKEN, "servers": ["memory://accounting"]}
        async with (
            tunnel.Server(decode_server_settings(tomllib.loads(text)), container=container) as server,
            tunnel.Client(decode_client_settings(client)) as joined,
        ):
            await joined.ready()
            made = World(server, told, log)
            made.calls = calls
            yield made
        await calls.stop()
        stream.close()
    # However many listeners and ends of the server it has passed, each conversation has one record and one line.
    records = told.of(SessionEnded)
    assert [json.loads(line)["outcome"] for line in log.read_text().splitlines()] == [each.outcome for each in records]
    counters = container.counters()
    assert sum(each.ended for each in counters.sessions()) == len(records)
    assert set(counters.active().values()) <= {0}


def brief(record: SessionEnded) -> tuple[str, str, int, int, int]:
    return record.protocol, record.outcome, record.status, record.received_bytes, record.sent_bytes


# -- gRPC


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([["echo"]], ("grpc", "ok", 0, 5, 5)),
        ([["read-all"], ["status", 5, "no such thing"]], ("grpc", "ok", 5, 5, 0)),
        ([["send", 100, 2], ["status", 14, "later"]], ("grpc", "ok", 14, 5, 200)),
    ],
)
async def test_call_is_told_with_its_status(world: World, steps: list[list[object]], expected: tuple[object]) -> None:
    async with world.channel() as channel:
        call = channel.stream_stream("/known.S/M")(
            iter([b"12345"]), metadata=(script(*steps), ("x-request-id", "call-1")), timeout=DEADLINE_S
        )
        with contextlib.suppress(grpc.aio.AioRpcError):
            async for _ in call:
                pass
        await call.code()
    record = await world.record()
    # An application that ends before it has read everything may have it counted or not.
    assert brief(record) == expected
    assert (record.method, record.path, record.group, record.member) == ("POST", "/known.S/M", "web", "e2e/one")
    assert (record.rule, record.request_id, record.tries) == ("rules[1]", "call-1", 1)
    assert record.first_byte_s is not None
    assert world.failures() == []


async def test_call_without_a_route_and_call_of_no_method(world: World) -> None:
    async with world.channel() as channel:
        for path in ("/unknown.S/M", "nonsense"):
            with pytest.raises(grpc.aio.AioRpcError):
                await channel.unary_unary(path)(b"1", timeout=DEADLINE_S)
    await world.until(lambda: len(world.told.of(SessionEnded)) == 2)
    first, second = world.told.of(SessionEnded)
    assert (first.protocol, first.outcome, first.status, first.path) == ("grpc", "route_not_found", 12, "/unknown.S/M")
    assert (second.protocol, second.outcome, second.status, second.path) == ("grpc", "route_not_found", 12, "")
    assert world.failures() == []  # it is the callers' own mistake


async def test_caller_that_leaves_is_told_as_such(world: World) -> None:
    async with world.channel() as channel:
        call = channel.stream_stream("/known.S/M")(metadata=(script(["hang"]),), timeout=DEADLINE_S)
        await call.write(b"123")
        await (await world.calls.call()).begun.wait()
        call.cancel()
        record = await world.record()
    assert (record.protocol, record.outcome, record.status) == ("grpc", "cancelled", 1)
    assert world.failures() == []


async def test_call_whose_target_is_gone(world: World) -> None:
    await world.calls.stop()
    async with world.channel() as channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await channel.unary_unary("/known.S/M")(b"123", timeout=DEADLINE_S)
    record = await world.record()
    assert (record.protocol, record.outcome, record.status) == ("grpc", "upstream_unreachable", 14)
    assert world.failures() == ["upstream_unreachable"]


# -- WebSocket


async def test_socket_is_told_with_its_close_code_and_bytes(world: World) -> None:
    async with world.socket("/a?b", additional_headers={"X-Request-Id": "socket-1"}) as visitor:
        assert visitor.response is not None
        assert visitor.response.headers["X-Request-Id"] == "socket-1"
        for message in ("12345", b"123"):
            await visitor.send(message)
            assert await visitor.recv() == message
    record = await world.record()
    assert brief(record) == ("websocket", "ok", 1000, 8, 8)
    assert (record.method, record.host, record.path, record.rule) == ("GET", "app.test", "/a", "rules[0]")
    assert (record.group, record.member, record.request_id) == ("web", "e2e/one", "socket-1")


async def test_socket_that_the_application_closes(world: World) -> None:
    async with world.socket("/bye") as visitor:
        with pytest.raises(ConnectionClosed):
            await visitor.recv()
    assert brief(await world.record())[:3] == ("websocket", "ok", 4001)


async def test_socket_that_the_application_refuses(world: World) -> None:
    with pytest.raises(InvalidStatus):
        await world.socket("/no")
    assert brief(await world.record()) == ("websocket", "ok", 403, 0, 3)


async def test_handshake_that_is_none_is_refused_as_one_of_a_socket(world: World) -> None:
    host, _, port = world.server.addresses["ingress.http"].rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    fields = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 8\r\nSec-WebSocket-Key: x\r\n"
    writer.write(f"GET /old HTTP/1.1\r\nHost: app.test\r\n{fields}\r\n".encode())
    assert (await reader.readline()).startswith(b"HTTP/1.1 4")
    writer.close()
    record = await world.record()
    assert (record.protocol, record.outcome, record.path) == ("websocket", "bad_request", "/old")
    assert 400 <= record.status < 500


async def test_socket_whose_upstream_is_lost_is_told_as_a_failure(world: World) -> None:
    async with world.socket() as visitor:
        await visitor.send("123")
        assert await visitor.recv() == "123"
        world.sockets[0].transport.abort()
        with pytest.raises(ConnectionClosed) as caught:
            await visitor.recv()
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1014
    assert brief(await world.record()) == ("websocket", "upstream_unreachable", 1014, 3, 3)
    assert world.failures() == ["upstream_unreachable"]


async def test_visitor_that_is_lost_is_told_as_such(world: World) -> None:
    visitor = await world.socket()
    await visitor.send("123")
    assert await visitor.recv() == "123"
    visitor.transport.abort()
    assert brief(await world.record()) == ("websocket", "cancelled", 1006, 3, 3)
    assert world.failures() == []


# -- TCP


async def test_connection_is_told_with_its_bytes(world: World) -> None:
    reader, writer = await world.connection("bytes")
    writer.write(b"12345")
    writer.write_eof()
    assert await reader.read() == b"12345"
    writer.close()
    record = await world.record()
    assert brief(record) == ("tcp", "ok", 0, 5, 5)
    assert (record.group, record.member, record.upstream, record.rule) == ("web", "e2e/one", "bytes", "")
    assert (record.method, record.path, record.request_id) == ("", "", "")


async def test_connection_whose_upstream_refuses(world: World) -> None:
    reader, writer = await world.connection("nobody")
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()
    assert brief(await world.record()) == ("tcp", "upstream_unreachable", 0, 0, 0)
    assert world.failures() == ["upstream_unreachable"]


async def test_visitor_that_resets_is_told_as_such(world: World) -> None:
    reader, writer = await world.connection("bytes")
    writer.write(b"123")
    assert await reader.readexactly(3) == b"123"
    sock = writer.get_extra_info("socket")
    sock.setsockopt(1, 13, struct.pack("ii", 1, 0))  # SO_LINGER of no time: a reset
    writer.transport.abort()
    assert brief(await world.record()) == ("tcp", "cancelled", 0, 3, 3)
    assert world.failures() == []


# -- the end of the server


async def test_what_outlasts_a_drain_is_told_as_cut_off_and_not_as_left(world: World) -> None:
    reader, writer = await world.connection("bytes")
    writer.write(b"1")
    assert await reader.readexactly(1) == b"1"
    async with world.channel() as channel:
        call = channel.stream_stream("/known.S/M")(metadata=(script(["hang"]),), timeout=DEADLINE_S)
        await call.write(b"1")
        await (await world.calls.call()).begun.wait()
        await world.server.aclose(drain_s=0)
        assert await call.code() is grpc.StatusCode.UNAVAILABLE
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()
    await world.until(lambda: len(world.told.of(SessionEnded)) == 2)
    found = {each.protocol: (each.outcome, each.status) for each in world.told.of(SessionEnded)}
    assert found == {"grpc": ("peer_lost", 14), "tcp": ("peer_lost", 0)}


async def test_socket_that_does_not_answer_the_end_of_the_server_is_cut_off(world: World) -> None:
    visitor = await world.socket()
    await visitor.send("1")
    assert await visitor.recv() == "1"
    visitor.transport.pause_reading()
    await world.server.aclose(drain_s=0)
    record = await world.record()
    assert (record.protocol, record.status) == ("websocket", 1001)
    visitor.transport.abort()
