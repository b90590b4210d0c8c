"""Links over ASGI's WebSocket events, on either event loop, without a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from tunnel.adapters.websocket.ingress_links import WebSocketIngressLinks
from tunnel.domain.errors import LinkEnd, LinkError
from tunnel.domain.messagepack import decode_frame, encode_frame
from tunnel.ports.transport import Link
from tunnel.testing.transport import HeldLinks
from tunnel.testing.transport.frames import chunk_frame

pytestmark = pytest.mark.anyio

SCOPE = {"type": "websocket", "scheme": "wss", "client": ("192.0.2.1", 1234)}


class FakeServer:
    """An ASGI server's side of one WebSocket: what the visitor says, and what it was told."""

    def __init__(self, links: WebSocketIngressLinks) -> None:
        self._links = links
        self._say, self._said = anyio.create_memory_object_stream[dict[str, Any]](8)
        self._tell, self.told = anyio.create_memory_object_stream[dict[str, Any]](8)
        self.over = anyio.Event()

    async def run(self) -> None:
        with self._say, self._said, self._tell, self.told:
            await self._links.serve_asgi(SCOPE, self._said.receive, self._tell.send)
            self.over.set()
            await anyio.sleep_forever()

    def say(self, **message: Any) -> None:
        self._say.send_nowait({"type": "websocket.receive", **message})

    def leave(self, code: int | None) -> None:
        self._say.send_nowait({"type": "websocket.disconnect", "code": code})

    async def next(self) -> dict[str, Any]:
        return await self.told.receive()


@asynccontextmanager
async def linked() -> AsyncIterator[tuple[FakeServer, Link, HeldLinks, Any]]:
    links, held = WebSocketIngressLinks(), HeldLinks()
    listener = links.listener(lambda: "here")
    started = anyio.Event()
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, held, started.set)
            await started.wait()
            server = FakeServer(links)
            tasks.start_soon(server.run)
            accepted = await server.next()
            assert (accepted["type"], accepted["subprotocol"]) == ("websocket.accept", "tunnel.v1")
            yield server, await held.link(), held, listener
            tasks.cancel_scope.cancel()


async def end_of(link: Link) -> LinkEnd:
    with pytest.raises(LinkError) as caught:
        await link.receive()
    return caught.value.end


async def test_frames_go_both_ways() -> None:
    async with linked() as (server, link, _, _):
        assert (link.peer.transport, link.peer.address) == ("wss", "192.0.2.1:1234")
        server.say(bytes=encode_frame(chunk_frame(1)))
        assert await link.receive() == chunk_frame(1)
        await link.send(chunk_frame(2))
        assert decode_frame((await server.next())["bytes"]) == chunk_frame(2)


@pytest.mark.parametrize(
    ("code", "end"),
    [
        (1000, LinkEnd.ENDED),
        (1001, LinkEnd.BROKEN),
        (1006, LinkEnd.BROKEN),
        (None, LinkEnd.BROKEN),
        (1009, LinkEnd.VIOLATED),
    ],
)
async def test_the_peers_code_says_how_it_ended_after_what_came_before(code: int | None, end: LinkEnd) -> None:
    async with linked() as (server, link, _, _):
        server.say(bytes=encode_frame(chunk_frame(1)))
        server.leave(code)
        assert await link.receive() == chunk_frame(1)
        assert await end_of(link) is end
        assert await end_of(link) is end


@pytest.mark.parametrize(
    ("message", "code"),
    [({"text": "hello"}, 1003), ({"bytes": b"\xc1"}, 1007), ({"bytes": b"x" * 300_000}, 1009)],
)
async def test_what_is_no_frame_closes_it(message: dict[str, Any], code: int) -> None:
    async with linked() as (server, link, _, _):
        server.say(**message)
        assert await end_of(link) is LinkEnd.VIOLATED
        assert (await server.next())["code"] == code


async def test_what_was_handed_over_is_sent_before_the_close() -> None:
    async with linked() as (server, link, _, _):
        await link.send(chunk_frame(1))
        await link.aclose()
        assert decode_frame((await server.next())["bytes"]) == chunk_frame(1)
        assert (await server.next())["code"] == 1000
        assert await end_of(link) is LinkEnd.CLOSED


@pytest.mark.parametrize("waits", [False, True])
async def test_abort_is_no_orderly_end_though_a_close_says_so_first(*, waits: bool) -> None:
    async with linked() as (server, link, _, _):
        if waits:
            await anyio.wait_all_tasks_blocked()
        link.abort()
        await link.aclose()
        assert await server.next() == {"type": "websocket.close", "code": 1001, "reason": ""}


async def test_abort_while_a_close_waits_is_no_orderly_end() -> None:
    async with linked() as (server, link, _, _):
        for seq in range(1, 9):
            await link.send(chunk_frame(seq))  # the server takes as many
            await anyio.wait_all_tasks_blocked()
        await link.send(chunk_frame(9))
        await anyio.wait_all_tasks_blocked()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(link.aclose)
            await anyio.wait_all_tasks_blocked()
            link.abort()
            told = [await server.next() for _ in range(10)]
        assert told[-1] == {"type": "websocket.close", "code": 1001, "reason": ""}


async def test_a_cancelled_receive_loses_nothing() -> None:
    async with linked() as (server, link, _, _):
        with anyio.move_on_after(0):
            await link.receive()
        server.say(bytes=encode_frame(chunk_frame(1)))
        assert await link.receive() == chunk_frame(1)


@pytest.mark.parametrize("how", ["service", "listener", "abort"])
async def test_the_server_is_left_with_a_closed_websocket(how: str) -> None:
    async with linked() as (server, link, held, listener):
        match how:
            case "service":
                held.let_go()
            case "listener":
                listener.stop()
            case "abort":
                link.abort()
        assert (await server.next())["code"] == (1000 if how == "service" else 1001)
        if how != "abort":
            await server.over.wait()


async def test_nobody_is_let_in_while_no_listener_serves() -> None:
    server = FakeServer(WebSocketIngressLinks())
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.run)
            assert await server.next() == {"type": "websocket.close", "code": 1013}
            tasks.cancel_scope.cancel()
