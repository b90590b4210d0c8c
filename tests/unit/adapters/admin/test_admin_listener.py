"""The admin port on real sockets: what it refuses, how it ends, and that a scrape holds nobody up."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from admin_kit import FakeServer

from tunnel.adapters.admin import listener as listener_module
from tunnel.adapters.admin.endpoints import server_endpoints
from tunnel.adapters.admin.listener import UvicornAdminListener
from tunnel.domain.configuration import AdminSettings
from tunnel.domain.errors import ListenError
from tunnel.domain.metrics import Counters

DEADLINE_S = 10

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def made(listen: str = "127.0.0.1:0", **settings: object) -> UvicornAdminListener:
    return UvicornAdminListener(
        AdminSettings(listen=listen, **settings),  # type: ignore[arg-type]
        server_endpoints(FakeServer(), Counters()),
    )


@asynccontextmanager
async def running(listener: UvicornAdminListener) -> AsyncIterator[str]:
    started = asyncio.Event()
    serving = asyncio.create_task(listener.serve(started.set))
    await started.wait()
    try:
        yield f"http://{listener.address}"
    finally:
        listener.stop()
        async with asyncio.timeout(DEADLINE_S):
            await serving


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    host, _, port = url.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.close()


async def rest(reader: asyncio.StreamReader) -> bytes:
    """What comes until the connection has ended, in whichever way."""
    answer = b""
    async with asyncio.timeout(DEADLINE_S):
        try:
            while chunk := await reader.read(4096):
                answer += chunk
        except ConnectionResetError:
            pass
    return answer


async def test_it_answers_on_a_connection_that_is_kept() -> None:
    async with running(made()) as url, httpx.AsyncClient(trust_env=False) as client:
        answers = [await client.get(f"{url}/api/status") for _ in range(3)]
        assert [each.status_code for each in answers] == [200] * 3
        assert (await client.head(f"{url}/metrics")).content == b""
        assert "server" not in answers[0].headers


async def test_other_settings_are_followed_while_it_runs() -> None:
    listener = made()
    async with running(listener) as url, httpx.AsyncClient(trust_env=False) as client:
        listener.follow(made(token_sha256="0" * 64))
        assert (await client.get(f"{url}/api/status")).status_code == 401
        assert (await client.get(f"{url}/healthz")).status_code == 200


async def test_an_address_that_is_taken_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ListenError, match="in use"):
        made(f"127.0.0.1:{taken.getsockname()[1]}").bind()


async def test_stopped_before_it_served_it_gives_its_address_back() -> None:
    listener = made()
    listener.bind()
    listener.stop()
    await listener.serve(lambda: pytest.fail("it was stopped"))
    host, _, port = listener.address.rpartition(":")
    socket.create_server((host, int(port))).close()


async def test_connections_end_with_it() -> None:
    listener = made()
    async with running(listener) as url, connected(url) as (reader, writer):
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /he")
        assert (await reader.readuntil(b'{"alive":true}')).startswith(b"HTTP/1.1 200")
        listener.stop()
        async with asyncio.timeout(DEADLINE_S):
            assert (await reader.read()).strip() == b""


async def test_cancelling_it_leaves_no_connection() -> None:
    listener = made()
    started = asyncio.Event()
    serving = asyncio.create_task(listener.serve(started.set))
    await started.wait()
    async with connected(f"http://{listener.address}") as (reader, writer):
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await reader.readuntil(b'{"alive":true}')
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        await rest(reader)


@pytest.mark.parametrize("begun", [b"", b"GET / HT", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET"])
async def test_a_head_that_does_not_come_is_not_waited_for(begun: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener_module, "_HEAD_S", 0.05)
    async with running(made()) as url, connected(url) as (reader, writer):
        writer.write(begun)
        await rest(reader)


async def test_a_connection_at_rest_has_no_deadline_for_heads() -> None:
    listener = made()
    async with running(listener) as url, connected(url) as (reader, writer):
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await reader.readuntil(b"}\n")
        assert listener._server is not None
        (connection,) = listener._server.server_state.connections
        assert connection._head_due is None  # type: ignore[union-attr]


async def test_a_huge_head_is_refused() -> None:
    async with running(made()) as url, connected(url) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000)
        # The refusal itself may be lost, since there was more to read.
        assert (await rest(reader))[:10] in (b"", b"HTTP/1.1 4")


async def test_what_is_no_request_is_answered_with_a_problem() -> None:
    async with running(made()) as url, connected(url) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nno field\r\n\r\n")
        head, _, body = (await rest(reader)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"content-type: application/problem+json" in head
    assert json.loads(body)["code"] == "bad_request"


async def test_connections_beyond_the_last_are_turned_away_with_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener_module, "_MAX_CONNECTIONS", 1)
    async with running(made()) as url, httpx.AsyncClient(trust_env=False) as first:
        assert (await first.get(f"{url}/healthz")).status_code == 200
        async with httpx.AsyncClient(trust_env=False) as second:
            refused = await second.get(f"{url}/healthz")
        assert (await first.get(f"{url}/healthz")).status_code == 200
    assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
    assert refused.headers["content-type"] == "application/problem+json"
