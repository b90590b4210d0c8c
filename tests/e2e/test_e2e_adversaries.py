"""Visitors who break every rule, at a server with a client: each is answered, and nothing of it stays."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import tunnel
from tunnel.domain.configuration import decode_client_settings, decode_server_settings

pytestmark = pytest.mark.anyio

TOKEN = "adversaries-token"
DEADLINE_S = 30.0
HOST = b"Host: a.test\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"
CHUNKED = b"POST /echo HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
RESET = struct.pack("ii", 1, 0)

REQUESTS = {
    "chunks": b"%b5;a=b\r\nabcde\r\n0\r\nX-Sum: v\r\n\r\n" % CHUNKED,
    "length": b"POST /echo HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nabcde",
    "expected": b"POST /echo HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\nabcde",
    "upgrade": b"POST /echo HTTP/1.1\r\n%bConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n\r\nabcde" % HOST,
    "streamed answer": b"GET /stream HTTP/1.1\r\n" + HOST + b"\r\n",
}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def site(scope: Any, receive: Any, send: Any) -> None:
    """``/echo`` sends back what it was sent, ``/stream`` twenty chunks, other paths their name."""
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": message["type"] + ".complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    body, more = scope["path"].encode(), True
    if scope["path"] == "/echo":
        body = b""
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body, more = body + message.get("body", b""), message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(20 if scope["path"] == "/stream" else 1):
        await send({"type": "http.response.body", "body": body, "more_body": True})
        await asyncio.sleep(0)
    await send({"type": "http.response.body"})


class World:
    def __init__(self, server: tunnel.Server) -> None:
        self._ingress = server.addresses["ingress.http"]
        self._admin = server.addresses["admin"]

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, _, port = self._ingress.rpartition(":")
        return await asyncio.open_connection(host, int(port))

    async def say(self, data: bytes, *, eof: bool = False) -> tuple[list[int], bytes]:
        """Statuses of what comes until the server closes, and all of it."""
        reader, writer = await self.connect()
        try:
            async with asyncio.timeout(DEADLINE_S):
                writer.write(data)
                if eof:
                    writer.write_eof()
                answer = await reader.read()
        finally:
            writer.transport.abort()
        return [int(status) for status in re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", answer)], answer

    async def reset_after(self, request: bytes, size: int) -> None:
        """Read so much of the answer, then reset the connection."""
        reader, writer = await self.connect()
        async with asyncio.timeout(DEADLINE_S):
            writer.write(request)
            if size:
                await reader.readexactly(size)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        writer.transport.abort()

    async def held(self) -> dict[str, Any]:
        """What the server holds, but for the tasks that it keeps for more of the same."""
        host, _, port = self._admin.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /api/stats HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        stats = json.loads((await reader.read()).partition(b"\r\n\r\n")[2])
        writer.close()
        await writer.wait_closed()
        del stats["tasks"]
        return stats

    async def comes_to(self, held: dict[str, Any]) -> None:
        now = await self.held()
        async with asyncio.timeout(DEADLINE_S):
            while now != held:
                await asyncio.sleep(0.02)
                now = await self.held()


@asynccontextmanager
async def started() -> AsyncIterator[World]:
    server = {
        "transports": {"memory": {"name": "adversaries"}},
        "ingress": {"http": {"listen": "127.0.0.1:0"}},
        "admin": {"listen": "127.0.0.1:0"},
        "auth": {"tokens": {"t": {"sha256": hashlib.sha256(TOKEN.encode()).hexdigest(), "groups": ["web"]}}},
        "rules": [{"host": "a.test", "group": "web"}],
        "groups": {
            "web": {
                "rules": [{"path_prefix": "/", "upstream": "app"}],
                "upstreams": {"app": {"targets": ["app:site"]}},
            }
        },
    }
    client = {
        "group": "web",
        "token": TOKEN,
        "servers": ["memory://adversaries"],
        "allow_targets": ["app:site"],
        "upstreams": {"app": {"targets": ["app:site"]}},
    }
    async with (
        tunnel.Server(decode_server_settings(server)) as running,
        tunnel.Client(decode_client_settings(client), applications={"site": site}) as joined,
    ):
        await joined.ready()
        world = World(running)
        await world.say(GET, eof=True)
        yield world


async def test_input_that_ends_at_any_byte_is_answered_and_forgotten() -> None:
    async with started() as world:
        before = await world.held()
        for request in REQUESTS.values():
            said = [request[:size] for size in range(len(request) + 1)]
            answers = await asyncio.gather(*(world.say(each, eof=True) for each in said))
            statuses = [status for status, _ in answers]
            assert statuses == [[]] + [[400]] * (len(request) - 1) + [[200]]
        await world.comes_to(before)


async def test_visitor_that_resets_at_any_byte_of_the_answer_is_forgotten() -> None:
    async with started() as world:
        before = await world.held()
        for request in REQUESTS.values():
            _, whole = await world.say(request, eof=True)
            size = len(whole) - len(b"connection: close\r\n")
            await asyncio.gather(*(world.reset_after(request, read) for read in range(0, size, 2)))
        await world.comes_to(before)


@pytest.mark.parametrize("first", [GET, REQUESTS["streamed answer"]], ids=["at once", "behind another"])
async def test_thousand_pipelined_requests_are_slowed_down_and_cut_off(first: bytes) -> None:
    async with started() as world:
        before = await world.held()
        statuses, answer = await world.say(first + GET * 1000)
        assert set(statuses) == {200}
        assert len(statuses) <= 33
        assert answer.count(b"connection: close") == 1
        await world.comes_to(before)


@pytest.mark.parametrize(
    ("data", "statuses"),
    [
        (b"CONNECT a.test:443 HTTP/1.1\r\n" + HOST + b"\r\n", [400]),
        (b"CONNECT a.test:443 HTTP/1.1\r\n%bContent-Length: 3\r\n\r\nabc" % HOST, [400]),
        (b"TRACE / HTTP/1.1\r\n%bConnection: close\r\n\r\n" % HOST, [200]),
        (b"GET /\r\n\r\n", [505]),
        (b"GET / HTTP/0.9\r\n" + HOST + b"\r\n", [505]),
        (b"GET / HTTP/2.0\r\n" + HOST + b"\r\n", [505]),
        (b"GET / HTTP/1.2\r\n" + HOST + b"\r\n", [400]),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", [400]),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200), [400]),
        (b"GET http://user:word@a.test/ HTTP/1.1\r\n" + HOST + b"\r\n", [400]),
        (b"GET http://a.test:99999/ HTTP/1.1\r\n" + HOST + b"\r\n", [400]),
        (b"GET * HTTP/1.1\r\n" + HOST + b"\r\n", [400]),
        (CHUNKED + b"5;" + b"a" * 1_000_000 + b"\r\nabcde\r\n0\r\n\r\n", [431]),
        (CHUNKED + b"0" * 1_000_000, [431]),
        (CHUNKED + b"f" * 17 + b"\r\n", [400]),
        (b"A" * 100_000 + b" / HTTP/1.1\r\n" + HOST + b"\r\n", [400]),
        (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", [431]),
        (b"POST /echo HTTP/1.1\r\n%bExpect: 200-ok\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc" % HOST, [200]),
        (b"POST /other HTTP/1.1\r\n%bExpect: 100-continue\r\nContent-Length: 3\r\n\r\n" % HOST, [200]),
    ],
)
async def test_what_no_client_says_is_answered_as_documented(data: bytes, statuses: list[int]) -> None:
    async with started() as world:
        before = await world.held()
        found, answer = await world.say(data)
        assert found == statuses
        assert answer.count(b"connection: close") == 1
        await world.comes_to(before)
