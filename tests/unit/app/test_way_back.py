"""A client that fell back to a server further down its list returns to a better one, and nobody pays for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import pytest
from support.app_kit import FakeStream, FakeUpstream, Recorder, ScriptedServer, World, ask, until

from tunnel.app.client import Client
from tunnel.app.server import Server
from tunnel.domain.envelopes import BodyChunk, HttpRequest, HttpResponse
from tunnel.domain.errors import LinkError
from tunnel.ports.target import Stream
from tunnel.ports.telemetry import ConnectFailed, TunnelReady
from tunnel.ports.transport import Link

pytestmark = pytest.mark.anyio

BEST, NEXT = "memory://best", "memory://next"
SERVERS = (BEST, NEXT)
GET = HttpRequest("GET", b"/", host=b"app.test", end=True)
LOOK_S = 30.0


def tunnels_of(server: Server) -> list[str]:
    return [tunnel.tunnel_id for client in server.clients().clients for tunnel in client.tunnels]


def serving(client: Client) -> str:
    visit = client._lines.current.dialer.visit
    return "" if visit is None or visit.ready_since is None else visit.url


async def begun(stream: Stream) -> None:
    """Answers the first half at once and the other after minutes."""
    await stream.send(HttpResponse(200))
    await anyio.sleep(300)
    await stream.send(BodyChunk(b"whole", end=True))


@contextmanager
def unreachable(world: World, name: str) -> Iterator[None]:
    """No link comes up at the server ``name``."""
    acceptor = world.network._acceptors.pop(name)
    try:
        yield
    finally:
        world.network._acceptors[name] = acceptor


async def test_client_returns_once_the_better_server_can_be_reached(world: World) -> None:
    dialled = Recorder()
    async with world.server(name="next") as other, world.client(servers=SERVERS, telemetry=dialled) as client:
        await client.ready()
        await anyio.sleep(3 * LOOK_S)
        assert serving(client) == NEXT
        async with world.server(name="best") as best:
            await until(lambda: serving(client) == BEST, within_s=LOOK_S + 1)
            await until(lambda: not tunnels_of(other), within_s=5)
            assert (await ask(best)).status == 200
    assert [each.server for each in dialled.of(TunnelReady)] == [NEXT, BEST]
    # Why it was passed over is told once; looking for it is no failure to be told of again and again.
    assert [each.server for each in dialled.of(ConnectFailed)] == [BEST]


async def test_conversations_finish_where_they_began_however_long_they_take(world: World) -> None:
    async with (
        world.server(name="next") as other,
        world.client(FakeUpstream(begun), servers=SERVERS, drain_s=1) as client,
    ):
        await client.ready()
        long = FakeStream(GET)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(other._target.handle, long)
            await until(lambda: long.answer)
            async with world.server(name="best") as best:
                await until(lambda: serving(client) == BEST, within_s=LOOK_S + 1)
                late = FakeStream(GET)
                tasks.start_soon(best._target.handle, late)
                await until(lambda: long.ended, within_s=301)
                assert (long.body, long.error) == (b"whole", None)
                await until(lambda: not tunnels_of(other), within_s=5)
                await until(lambda: late.ended, within_s=301)


async def test_no_request_is_lost_while_a_client_returns(world: World) -> None:
    answered = {"best": 0, "next": 0}

    async with (
        world.server(name="next") as other,
        world.server(name="best") as best,
        world.client(servers=SERVERS) as client,
    ):
        with unreachable(world, "best"):
            await client.ready()
        assert serving(client) == NEXT
        async with anyio.create_task_group() as tasks:

            async def visitors() -> None:
                while True:
                    name, server = ("best", best) if tunnels_of(best) and serving(client) == BEST else ("next", other)
                    assert (await ask(server)).status == 200
                    answered[name] += 1
                    await anyio.sleep(0.5)

            for _ in range(5):
                tasks.start_soon(visitors)
            await until(lambda: answered["best"] > 50, within_s=2 * LOOK_S)
            tasks.cancel_scope.cancel()
    assert answered["next"] > 50


async def test_server_that_takes_links_and_no_client_leaves_everything_as_it_was(world: World) -> None:
    async def script(link: Link) -> None:
        try:
            while True:
                await link.receive()
        except LinkError:
            return

    dialled = Recorder()
    scripted = ScriptedServer(world.network, script, name="best")
    async with (
        world.server(name="next") as other,
        world.client(servers=SERVERS, telemetry=dialled, handshake_s=2) as client,
    ):
        await client.ready()
        before = tunnels_of(other)
        async with scripted.running():
            await until(lambda: [each.server for each in dialled.of(ConnectFailed)].count(BEST) >= 2, within_s=300)
            assert serving(client) == NEXT
            await until(lambda: tunnels_of(other) == before, within_s=5)
            assert (await ask(other)).status == 200


async def test_client_that_is_closed_on_its_way_back_leaves_nothing(world: World) -> None:
    heard = anyio.Event()

    async def script(link: Link) -> None:
        try:
            await link.receive()
            heard.set()
            await link.receive()
        except LinkError:
            return

    scripted = ScriptedServer(world.network, script, name="best")
    async with world.server(name="next") as other, world.client(servers=SERVERS) as client:
        await client.ready()
        async with scripted.running():
            await heard.wait()
            await client.aclose()
            await until(lambda: not tunnels_of(other))
            assert len(list(client._lines)) == 1


async def test_best_server_in_use_is_left_in_peace(world: World) -> None:
    async with world.server(name="best") as best, world.server(name="next"), world.client(servers=SERVERS) as client:
        await client.ready()
        before = tunnels_of(best)
        await anyio.sleep(10 * LOOK_S)
        assert (tunnels_of(best), serving(client)) == (before, BEST)
        assert world.network.pairs("next") == []
