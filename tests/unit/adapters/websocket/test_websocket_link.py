from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tunnel.adapters.websocket.link import WebSocketLink
from tunnel.adapters.websocket.listener import WebSocketListener
from tunnel.adapters.websocket.transport import WebSocketTransport
from tunnel.domain.errors import LinkEnd, LinkError
from tunnel.domain.messagepack import encode_frame
from tunnel.ports.transport import Link
from tunnel.testing.transport import HeldLinks
from tunnel.testing.transport.frames import chunk_frame, largest_frame

pytestmark = pytest.mark.anyio

SUBPROTOCOLS = [Subprotocol("tunnel.v1")]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@asynccontextmanager
async def link_to(handler: Callable[[ServerConnection], Awaitable[None]]) -> AsyncIterator[WebSocketLink]:
    """A link whose server is the bare library, doing what ``handler`` does."""
    with anyio.fail_after(10):
        async with serve(handler, "127.0.0.1", 0, subprotocols=SUBPROTOCOLS, ping_interval=None) as server:
            port = server.sockets[0].getsockname()[1]
            link = await WebSocketTransport().connect(f"ws://127.0.0.1:{port}/", timeout_s=5)
            try:
                yield link
            finally:
                link.abort()


@asynccontextmanager
async def connection_to_link() -> AsyncIterator[tuple[ClientConnection, Link]]:
    """A link of our listener whose client is the bare library."""
    held = HeldLinks()
    listener = WebSocketListener("127.0.0.1:0")
    listener.bind()
    started = anyio.Event()
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, held, started.set)
            await started.wait()
            async with connect(f"ws://{listener.address}/a/path?q", subprotocols=SUBPROTOCOLS, proxy=None) as client:
                yield client, await held.link()
            listener.stop()


async def end_of(link: Link) -> LinkEnd:
    with pytest.raises(LinkError) as caught:
        await link.receive()
    with pytest.raises(LinkError) as again:
        await link.receive()
    assert again.value.end is caught.value.end
    with pytest.raises(LinkError) as sending:
        await link.send(chunk_frame(1))
    assert sending.value.end is caught.value.end
    return caught.value.end


@pytest.mark.rule("L2", "L5")
@pytest.mark.parametrize(
    ("code", "end"),
    [
        (1000, LinkEnd.ENDED),
        (1001, LinkEnd.BROKEN),
        (1011, LinkEnd.BROKEN),
        (1012, LinkEnd.BROKEN),
        (1013, LinkEnd.BROKEN),
        (1014, LinkEnd.BROKEN),
        (1002, LinkEnd.VIOLATED),
        (1003, LinkEnd.VIOLATED),
        (1007, LinkEnd.VIOLATED),
        (1008, LinkEnd.VIOLATED),
        (1009, LinkEnd.VIOLATED),
        (3000, LinkEnd.BROKEN),
    ],
)
async def test_close_code_tells_how_the_link_ended(code: int, end: LinkEnd) -> None:
    async def close(connection: ServerConnection) -> None:
        await connection.close(code)

    async with link_to(close) as link:
        assert await end_of(link) is end


@pytest.mark.rule("L2")
async def test_lost_connection_is_broken() -> None:
    async def vanish(connection: ServerConnection) -> None:
        connection.transport.abort()

    async with link_to(vanish) as link:
        assert await end_of(link) is LinkEnd.BROKEN


@pytest.mark.rule("W6", "W7", "W8")
@pytest.mark.parametrize(
    ("message", "code"),
    [("text", 1003), (b"\xc1 is not a frame", 1007), (b"", 1007), (largest_frame(), 0), (bytes(300_000), 1009)],
    ids=["text", "not-a-frame", "empty", "largest", "oversized"],
)
async def test_bad_message_closes_the_connection_with_its_code(message: object, code: int) -> None:
    async with connection_to_link() as (client, link):
        if not isinstance(message, str | bytes):
            await client.send(encode_frame(largest_frame()))
            assert await link.receive() == largest_frame()
            return
        await client.send(message)
        assert await end_of(link) is LinkEnd.VIOLATED
        with pytest.raises(ConnectionClosed) as closed:
            await client.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == code


async def test_text_that_is_not_utf8_is_a_violation() -> None:
    async with connection_to_link() as (client, link):
        await client.send(b"\xff", text=True)
        assert await end_of(link) is LinkEnd.VIOLATED


@pytest.mark.rule("W6")
async def test_fragmented_message_is_one_frame() -> None:
    encoded = encode_frame(chunk_frame(1, 100))
    async with connection_to_link() as (client, link):
        await client.send([encoded[:1], encoded[1:50], encoded[50:]])
        assert await link.receive() == chunk_frame(1, 100)


async def test_fragments_are_bounded_together() -> None:
    async with connection_to_link() as (client, link):
        with pytest.raises(ConnectionClosed):
            await client.send(bytes(100_000) for _ in range(100))
        assert await end_of(link) is LinkEnd.VIOLATED


async def test_pings_are_answered_and_are_no_frames() -> None:
    async with connection_to_link() as (client, link):
        pong = await client.ping()
        await client.send(encode_frame(chunk_frame(1)))
        assert await link.receive() == chunk_frame(1)
        await pong


async def test_peer_that_never_finishes_the_close_does_not_hold_the_receiver() -> None:
    release = anyio.Event()

    async def close_by_halves(connection: ServerConnection) -> None:
        # A close frame with code 1000, and then nothing: the server is the one to close the socket.
        connection.transport.write(b"\x88\x02\x03\xe8")
        await release.wait()

    async with link_to(close_by_halves) as link:
        assert await end_of(link) is LinkEnd.ENDED
        release.set()


async def test_closing_discards_what_still_comes_instead_of_timing_out() -> None:
    async with connection_to_link() as (client, link):
        for seq in range(100):
            await client.send(encode_frame(chunk_frame(seq, 2000)))
        with anyio.fail_after(0.75):
            await link.aclose()
        assert client.close_code == 1000
