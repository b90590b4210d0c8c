"""A client whose server comes and goes, on virtual time: which way each conversation goes from its entry."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import asynccontextmanager
from typing import Any

import anyio
import msgspec
import pytest
from anyio.abc import TaskGroup
from dependency_injector import providers
from support.app_kit import EDGE, TOKEN, FakeStream, FakeUpstream, Recorder, World, echo, until
from support.door import Door

from tunnel.app.client import Client
from tunnel.app.server import Server
from tunnel.domain.configuration import (
    ClientSettings,
    EntrySettings,
    FallbackSettings,
    ForwardRule,
    ForwardSettings,
    HttpEntrySettings,
    LimitsSettings,
    Secret,
    UpstreamSettings,
)
from tunnel.domain.envelopes import BodyChunk, HttpRequest, HttpResponse
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.route import Route
from tunnel.ports.target import Stream
from tunnel.ports.telemetry import SessionEnded, TunnelResumed

pytestmark = pytest.mark.anyio

GET = HttpRequest("GET", b"/", host=b"a.internal.test", end=True)
POST = HttpRequest("POST", b"/", host=b"a.internal.test")
BY_REQUEST = FallbackSettings(direct=True, allow=("*.internal.test",))
FORWARD = ForwardSettings(
    rules=(ForwardRule(path_prefix="/", groups=("web",), upstream="far"),),
    upstreams={"far": UpstreamSettings(targets=("http://127.0.0.1:1",))},
)
HOURS = 6
PERIOD_S = 20.0
MAX_BACKOFF_S = 30.0


class Site:
    """A client with an entry, and a server that can be started and stopped; the same service on both ways."""

    def __init__(self, world: World, tasks: TaskGroup) -> None:
        self.world = world
        self.near, self.far = FakeUpstream(), FakeUpstream()
        self.ingress = Door(HttpEntrySettings(listen="127.0.0.1:9080"))
        self.records = Recorder(wants_sessions=True)
        self.server: Server | None = None
        self.tasks = tasks
        self._drain_s = 0.0
        self._stopping, self._stopped = anyio.Event(), anyio.Event()
        container = world.client_container(self.near, self.records)
        container.ingresses.providers["http"].override(providers.Callable(lambda *_, **__: self.ingress))
        self.client = Client(self.settings(), container=container)

    @staticmethod
    def settings(fallback: FallbackSettings = BY_REQUEST, **entry: Any) -> ClientSettings:
        return ClientSettings(
            group="web",
            servers=(EDGE,),
            client_id="one",
            token=Secret(TOKEN),
            entry=EntrySettings(http=HttpEntrySettings(listen="127.0.0.1:9080"), **entry),
            fallback=fallback,
            limits=LimitsSettings(resume_s=30),
        )

    async def start_server(self) -> None:
        container = self.world.server_container()
        container.targets.providers["http"].override(providers.Callable(lambda *_: self.far.another()))
        settings = msgspec.structs.replace(self.world.server(container=container).settings, forward=FORWARD)
        self.server = Server(settings, container=container)
        started, self._stopped = anyio.Event(), anyio.Event()
        self.tasks.start_soon(self._run, self.server, started)
        await started.wait()

    async def _run(self, server: Server, started: anyio.Event) -> None:
        async with server:
            stopping = self._stopping
            started.set()
            await stopping.wait()
            await server.aclose(drain_s=self._drain_s)
        self._stopped.set()

    async def stop_server(self, drain_s: float = 0) -> None:
        self._drain_s, self.server = drain_s, None
        self._stopping.set()
        self._stopping = anyio.Event()
        await self._stopped.wait()

    @property
    def up(self) -> bool:
        return self.client._route.up

    async def ask(self, stream: FakeStream) -> str:
        """Which way it went."""
        await self.ingress.visit(stream)
        assert stream.answer is not None
        [route] = [
            value
            for name, value in zip(stream.answer.headers[::2], stream.answer.headers[1::2], strict=True)
            if name == b"tunnel-route"
        ]
        return route.decode()


@asynccontextmanager
async def site(world: World) -> Any:
    async with anyio.create_task_group() as tasks:
        made = Site(world, tasks)
        async with made.client:
            yield made
            if made.server is not None:
                await made.stop_server()


async def test_hours_without_a_server_go_by_directly_and_every_return_is_noticed_by_the_next(world: World) -> None:
    schedule = random.Random(11)
    went: Counter[str] = Counter()
    async with site(world) as here:
        asked = 0
        change_at = 0.0
        lost_at = returned_at = 0.0
        start = anyio.current_time()
        while (now := anyio.current_time() - start) < HOURS * 3600:
            if now >= change_at:
                if here.server is None:
                    await here.start_server()
                    returned_at = now
                else:
                    await here.stop_server(drain_s=schedule.choice((0, 5)))
                    lost_at = now
                change_at = now + schedule.choice((30, 300, 3600))
            expected = Route.TUNNEL.value if here.up else Route.DIRECT.value
            assert await here.ask(FakeStream(POST, [BodyChunk(b"x", end=True)])) == expected
            went[expected] += 1
            asked += 1
            if here.server is None:
                assert expected == "direct"
            elif now - returned_at > MAX_BACKOFF_S + PERIOD_S and returned_at >= lost_at:
                assert expected == "tunnel"
            await anyio.sleep(PERIOD_S)
        assert len(here.near.heads) == went["direct"] > 100
        assert len(here.far.heads) == went["tunnel"] > 100
        assert here.client.container.counters().routes.read() == dict(went)
        assert Counter(each.route for each in here.records.of(SessionEnded)) == went


async def test_stream_inside_a_lost_tunnel_is_resumed_while_others_go_directly(world: World) -> None:
    async with site(world) as here:
        await here.start_server()
        await here.client.ready()
        stream = FakeStream(POST)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(here.ask, stream)
            stream.feed(BodyChunk(b"before "))
            await until(lambda: stream.body == b"before ")
            world.network.sever()
            await until(lambda: not here.up, within_s=0.1)
            began_at = anyio.current_time()
            assert await here.ask(FakeStream(GET)) == "direct"
            assert anyio.current_time() == began_at
            stream.feed(BodyChunk(b"after", end=True))
            await here.client.ready()
            assert await here.ask(FakeStream(GET)) == "tunnel"
            await until(lambda: stream.ended)
        assert stream.body == b"before after"
        assert len(here.records.of(TunnelResumed)) == 1
        assert [head.method for head in here.far.heads] == ["POST", "GET"]


async def test_conversation_lost_with_its_tunnel_is_not_begun_again_directly(world: World) -> None:
    async def hang(stream: Stream) -> None:
        await anyio.sleep_forever()

    async with site(world) as here:
        here.far.handler = hang
        await here.start_server()
        await here.client.ready()
        async with anyio.create_task_group() as tasks:

            async def ask() -> None:
                with pytest.raises(SessionError) as caught:
                    await here.ask(FakeStream(GET))
                assert caught.value.code is ErrorCode.PEER_LOST

            tasks.start_soon(ask)
            await until(lambda: here.far.running)
            await here.stop_server()
        assert here.near.heads == []


async def test_server_that_drains_is_left_at_once_and_finishes_what_it_has(world: World) -> None:
    async with site(world) as here:
        await here.start_server()
        await here.client.ready()
        stream = FakeStream(POST)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(here.ask, stream)
            await until(lambda: here.far.running)
            tasks.start_soon(here.stop_server, 60)
            await until(lambda: not here.up)
            assert await here.ask(FakeStream(GET)) == "direct"
            assert not stream.ended
            stream.feed(BodyChunk(b"whole", end=True))
        assert stream.body == b"whole"


async def test_openings_that_meet_the_going_away_of_the_server_all_get_an_answer(world: World) -> None:
    """Between a server's last word and its arrival, openings are on their way that it will not take."""
    async with site(world) as here:
        await here.start_server()
        await here.client.ready()
        streams = [FakeStream(POST, [BodyChunk(b"%d" % number, end=True)]) for number in range(200)]
        async with anyio.create_task_group() as tasks:

            async def ask_in_turn() -> None:
                for stream in streams:
                    tasks.start_soon(here.ask, stream)
                    await anyio.lowlevel.checkpoint()

            tasks.start_soon(ask_in_turn)
            await anyio.lowlevel.checkpoint()
            tasks.start_soon(here.stop_server, 60)
        assert [stream.body for stream in streams] == [b"%d" % number for number in range(200)]
        assert len(here.far.heads) + len(here.near.heads) == 200
        assert here.near.heads != []


async def test_without_a_direct_way_it_waits_for_the_tunnel_as_configured(world: World) -> None:
    async with site(world) as here:
        await here.client.reload(Site.settings(FallbackSettings(), wait_for_server_s=60))
        stream = FakeStream(GET)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(here.ingress.visit, stream)
            await anyio.sleep(1)
            assert not stream.ended
            await here.start_server()
        assert stream.answer == HttpResponse(200, end=True)
        assert len(here.far.heads) == 1


async def test_direct_way_is_taken_without_waiting_although_others_would_wait(world: World) -> None:
    async with site(world) as here:
        await here.client.reload(Site.settings(wait_for_server_s=60))
        began_at = anyio.current_time()
        assert await here.ask(FakeStream(GET)) == "direct"
        assert anyio.current_time() == began_at


async def test_reload_takes_the_direct_way_away_and_gives_it_back_in_place(world: World) -> None:
    async with site(world) as here:
        here.near.handler = echo
        assert await here.ask(FakeStream(GET)) == "direct"
        await here.client.reload(Site.settings(msgspec.structs.replace(BY_REQUEST, allow=("b.internal.test",))))
        await until(lambda: here.near.closed)
        with pytest.raises(SessionError) as caught:
            await here.ask(FakeStream(GET))
        assert caught.value.code is ErrorCode.NO_CLIENT
        await here.client.reload(Site.settings())
        assert await here.ask(FakeStream(GET)) == "direct"
