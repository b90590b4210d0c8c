"""Links on our own HTTP listener: what is handed on, and what hostile visitors get."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from support.ingress_listeners import LinksOnIngress, Visited
from websockets.frames import Frame, Opcode

from tunnel.adapters.http.ingress_types import IngressSettings
from tunnel.adapters.http.ingress_uvicorn import UvicornIngress
from tunnel.adapters.websocket.ingress_links import WebSocketIngressLinks
from tunnel.domain.errors import LinkEnd, LinkError
from tunnel.domain.messagepack import encode_frame
from tunnel.testing.transport import HeldLinks
from tunnel.testing.transport.frames import chunk_frame

pytestmark = pytest.mark.anyio

FIELDS = (
    b"Host: a.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)
LINK = b"GET /.well-known/tunnel HTTP/1.1\r\n" + FIELDS + b"Sec-WebSocket-Protocol: tunnel.v1\r\n\r\n"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@asynccontextmanager
async def listening() -> AsyncIterator[tuple[LinksOnIngress, HeldLinks]]:
    held = HeldLinks()
    listener = LinksOnIngress("127.0.0.1:0")
    listener.bind()
    started = anyio.Event()
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, held, started.set)
            await started.wait()
            yield listener, held
            listener.stop()


async def visit(listener: LinksOnIngress) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = listener.address.rpartition(":")
    return await asyncio.open_connection(host, int(port))


def masked(data: bytes) -> bytes:
    return Frame(Opcode.BINARY, data).serialize(mask=True)


async def status_of(data: bytes) -> int:
    async with listening() as (listener, _):
        reader, writer = await visit(listener)
        writer.write(data)
        head = await reader.readuntil(b"\r\n\r\n")
        writer.close()
        return int(head.split(b" ")[1])


async def test_frames_sent_with_the_handshake_are_received() -> None:
    async with listening() as (listener, held):
        reader, writer = await visit(listener)
        writer.write(LINK + masked(encode_frame(chunk_frame(1))) + masked(encode_frame(chunk_frame(2))))
        link = await held.link()
        assert [await link.receive(), await link.receive()] == [chunk_frame(1), chunk_frame(2)]
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        writer.close()


async def test_a_handshake_that_comes_byte_by_byte_is_one() -> None:
    async with listening() as (listener, held):
        _, writer = await visit(listener)
        for byte in LINK:
            writer.write(bytes((byte,)))
            await writer.drain()
        await held.link()
        writer.close()


async def test_a_link_may_follow_other_requests_on_its_connection() -> None:
    async with listening() as (listener, held):
        reader, writer = await visit(listener)
        writer.write(b"GET /one HTTP/1.1\r\nHost: a.test\r\n\r\n" + LINK)
        await held.link()
        assert b"visited" in await reader.readuntil(b"101 ")
        writer.close()


async def test_fields_that_are_no_part_of_the_handshake_do_not_matter() -> None:
    cookies = b"Cookie: " + b"x" * 20_000 + b"\r\n"
    many = b"".join(b"X-%d: y\r\n" % number for number in range(150))

    assert await status_of(LINK.replace(b"\r\n\r\n", b"\r\n" + cookies + many + b"\r\n")) == 101


async def test_extensions_that_are_offered_are_declined() -> None:
    async with listening() as (listener, _):
        reader, writer = await visit(listener)
        writer.write(LINK[:-2] + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n")
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        assert b"sec-websocket-protocol: tunnel.v1" in head
        assert b"extensions" not in head
        writer.close()


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        pytest.param(b"GET /.well-known/tunnel HTTP/1.1\r\nHost: a.test\r\n\r\n", 426, id="plain"),
        pytest.param(b"POST /.well-known/tunnel HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 426, id="post"),
        pytest.param(LINK.replace(b"tunnel.v1", b"chat"), 404, id="subprotocol"),
        pytest.param(LINK.replace(b"Sec-WebSocket-Protocol: tunnel.v1\r\n", b""), 404, id="none"),
        pytest.param(LINK.replace(b"13", b"12"), 426, id="version"),
        pytest.param(LINK.replace(b"AAAAAAAA", b"A"), 400, id="key"),
        pytest.param(LINK.replace(b"GET", b"POST"), 400, id="method"),
        pytest.param(LINK.replace(b"Host: a.test", b"Host: a.test\r\nHost: b.test"), 400, id="hosts"),
        pytest.param(LINK.replace(b"tunnel ", b"tunnel?a=b "), 101, id="query"),
        pytest.param(LINK.replace(b"/.well", b"http://a.test/.well"), 101, id="absolute"),
        pytest.param(LINK.replace(b"tunnel HTTP", b"tunnel/ HTTP"), 200, id="below"),
        pytest.param(LINK.replace(b"/.well-known", b"/x/../.well-known"), 200, id="dots"),
    ],
)
async def test_what_is_asked_for_there_is_answered(request_bytes: bytes, status: int) -> None:
    assert await status_of(request_bytes) == status


async def test_a_text_message_is_a_violation() -> None:
    async with listening() as (listener, held):
        _, writer = await visit(listener)
        writer.write(LINK + Frame(Opcode.TEXT, b"hello").serialize(mask=True))
        with pytest.raises(LinkError) as caught:
            await (await held.link()).receive()
        assert caught.value.end is LinkEnd.VIOLATED
        writer.close()


async def test_frames_without_masks_and_floods_end_the_link_only() -> None:
    async with listening() as (listener, held):
        for hostile in (Frame(Opcode.BINARY, b"x").serialize(mask=False), b"\xff" * 100_000, masked(b"x" * 300_000)):
            _, writer = await visit(listener)
            writer.write(LINK + hostile)
            with pytest.raises(LinkError):
                await (await held.link()).receive()
            writer.close()
        reader, writer = await visit(listener)
        writer.write(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
        assert b"visited" in await reader.readuntil(b"visited")
        writer.close()


async def test_visitors_that_leave_at_the_handshake_leave_nothing_behind() -> None:
    async with listening() as (listener, held):
        for _ in range(20):
            _, writer = await visit(listener)
            writer.write(LINK)
            writer.transport.abort()
        _, writer = await visit(listener)
        writer.write(LINK + masked(encode_frame(chunk_frame(7))))
        while True:
            try:
                assert await (await held.link()).receive() == chunk_frame(7)
                break
            except LinkError:
                continue
        writer.close()


async def test_links_are_refused_while_nobody_serves_them() -> None:
    ingress = UvicornIngress("127.0.0.1:0", settings=IngressSettings(links=WebSocketIngressLinks()))
    started = anyio.Event()
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ingress.serve, Visited(), started.set)
            await started.wait()
            host, _, port = ingress.address.rpartition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(LINK)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 503 ")
            writer.close()
            ingress.drain(0)
