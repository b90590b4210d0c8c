"""Links lost and replaced under conversations that do not notice, on virtual time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import anyio
import msgspec
import pytest
from support.app_kit import (
    FakeStream,
    FakeUpstream,
    Recorder,
    ScriptedServer,
    World,
    ask,
    echo,
    group,
    register,
    uncounted,
    until,
)

from tunnel.adapters.memory.link import MemoryLink
from tunnel.app.server import Server
from tunnel.domain.configuration import LimitsSettings, UpstreamSettings
from tunnel.domain.envelopes import (
    BodyChunk,
    ConfigApplied,
    ConfigRejected,
    ConfigSyncResponse,
    Error,
    HttpRequest,
    HttpResponse,
    Ping,
    Pong,
    RegisterResponse,
    ResumeRequest,
)
from tunnel.domain.errors import ErrorCode, LinkEnd, LinkError, SessionError
from tunnel.domain.registry import TunnelRecord
from tunnel.ports.target import Stream
from tunnel.ports.telemetry import (
    ClientPublished,
    ClientUnpublished,
    LinkLost,
    TunnelDetached,
    TunnelReady,
    TunnelResumed,
)
from tunnel.ports.transport import Link

pytestmark = pytest.mark.anyio

GET = HttpRequest("GET", b"/", host=b"app.test", end=True)
POST = HttpRequest("POST", b"/", host=b"app.test")


class Visit:
    """A conversation under way, and how it ended."""

    def __init__(self, server: Server, stream: FakeStream) -> None:
        self._server = server
        self.stream = stream
        self.error: SessionError | None = None
        self.over = False

    async def run(self) -> None:
        try:
            await self._server._target.handle(self.stream)
        except SessionError as exc:
            self.error = exc
        self.over = True


@asynccontextmanager
async def visiting(server: Server, *streams: FakeStream) -> AsyncIterator[list[Visit]]:
    visits = [Visit(server, stream) for stream in streams]
    async with anyio.create_task_group() as tasks:
        for visit in visits:
            tasks.start_soon(visit.run)
        yield visits
        tasks.cancel_scope.cancel()


def chunks(count: int, size: int = 10_000) -> list[BodyChunk]:
    return [BodyChunk(bytes([number % 251]) * size) for number in range(count)]


async def test_conversation_goes_on_over_another_link(world: World) -> None:
    served, dialled = Recorder(), Recorder()
    async with world.server(telemetry=served) as server, world.client(telemetry=dialled) as client:
        await client.ready()
        async with visiting(server, FakeStream(POST)) as (visit,):
            sent = b""
            for number, chunk in enumerate(chunks(50)):
                visit.stream.feed(chunk)
                sent += chunk.data
                if number % 10 == 5:
                    world.network.sever()
                await anyio.sleep(0.4)
            visit.stream.feed(BodyChunk(b"last", end=True))
            await until(lambda: visit.over)
        assert visit.error is None
        assert visit.stream.body == sent + b"last"
        (published,) = served.of(ClientPublished)
        assert [each.tunnel_id for each in served.of(TunnelResumed)] == [published.tunnel_id] * 5
        assert [each.tunnel_id for each in dialled.of(TunnelResumed)] == [published.tunnel_id] * 5
        assert served.of(ClientUnpublished) == []


@pytest.mark.rule("R9")
async def test_bulk_both_ways_survives_links_that_are_cut_again_and_again(world: World) -> None:
    """What was in flight is sent again: every byte once and in order."""

    async def handle(stream: Stream) -> None:
        await stream.send(HttpResponse(200))
        ended = False
        while not ended:
            payload = await stream.receive()
            await anyio.sleep(0.004)
            await stream.send(payload)
            ended = payload.end

    cuts = 0
    async with world.pair(handle) as server:
        body = [*chunks(100, 50_000), BodyChunk(b"last", end=True)]
        expected = b"".join(chunk.data for chunk in body)
        async with visiting(server, *(FakeStream(POST, body) for _ in range(3))) as visits:
            while not all(visit.over for visit in visits):
                await anyio.sleep(0.113)
                world.network.sever()
                cuts += 1
                await until(lambda: all(visit.over for visit in visits) or tunnel(server).published)
        assert [visit.error for visit in visits] == [None] * 3
        assert [visit.stream.body == expected for visit in visits] == [True] * 3
    assert cuts > 10


def tunnel(server: Server) -> TunnelRecord:
    (client,) = server.clients().clients
    (record,) = client.tunnels
    return record


async def test_client_is_ready_again_once_the_server_sends(world: World) -> None:
    async with world.server() as server, world.client() as client:
        await client.ready()
        world.network.sever()
        await until(lambda: not client._lines.current.ready, within_s=0.1)
        await client.ready()
        assert (await ask(server)).status == 200


@pytest.mark.rule("R20")
async def test_idle_tunnel_is_not_kept_by_the_server(world: World) -> None:
    served, dialled = Recorder(), Recorder()
    async with world.server(telemetry=served) as server, world.client(telemetry=dialled) as client:
        await client.ready()
        await anyio.sleep(60)
        world.network.sever()
        await until(lambda: served.of(ClientUnpublished), within_s=0.1)
        await client.ready()
        assert (await ask(server)).status == 200
        assert len({each.tunnel_id for each in served.of(ClientPublished)}) == 2
        assert dialled.of(TunnelResumed) == []


@pytest.mark.rule("R6", "R8")
async def test_client_that_comes_back_first_fences_the_link_that_the_server_believes_in(world: World) -> None:
    """Half-open: only the client notices, and the server drops the old link when the new one comes."""
    served = Recorder()
    upstream = FakeUpstream(slow_echo)
    async with (
        world.server(telemetry=served, heartbeat_s=100) as server,
        world.client(upstream, heartbeat_s=1) as client,
    ):
        await client.ready()
        async with visiting(server, FakeStream(POST, [BodyChunk(b"all", end=True)])) as (visit,):
            await until(lambda: upstream.running)
            world.network.silence()
            await until(lambda: visit.over, within_s=60)
        assert (visit.error, visit.stream.body) == (None, b"all")
        assert len(served.of(TunnelResumed)) == 1
        (lost,) = served.of(TunnelDetached)
        assert lost.reason == "another link took its place"
        assert len(world.network.pairs()) == 1


async def slow_echo(stream: Stream) -> None:
    await anyio.sleep(10)
    await echo(stream)


async def test_tunnel_that_is_not_resumed_in_time_ends_on_both_sides(world: World) -> None:
    upstream = FakeUpstream(lambda stream: anyio.sleep_forever())
    async with world.pair(upstream, resume_s=7) as server:
        async with visiting(server, FakeStream(GET)) as (visit,):
            await until(lambda: upstream.running)
            lost_at = anyio.current_time()
            with unreachable(world):
                world.network.sever()
                await until(lambda: visit.over)
                assert visit.error is not None
                assert visit.error.code is ErrorCode.PEER_LOST
                assert anyio.current_time() - lost_at == pytest.approx(7, abs=0.5)
                await until(lambda: upstream.cancelled, within_s=1)
                assert server.clients().clients == ()
        assert upstream.cancelled == 1


@contextmanager
def unreachable(world: World) -> Iterator[None]:
    """While entered, nobody can dial the server."""
    acceptors, world.network._acceptors = world.network._acceptors, {}
    yield
    world.network._acceptors.update(acceptors)


@pytest.mark.rule("T2")
async def test_requests_wait_for_a_client_that_is_away(world: World) -> None:
    upstream = FakeUpstream(slow_echo)
    groups = {"web": group(wait_for_client_s=20)}
    async with world.server(groups=groups) as server, world.client(upstream) as client:
        await client.ready()
        async with visiting(server, FakeStream(GET)) as (first,):
            await until(lambda: upstream.running)
            away = unreachable(world)
            away.__enter__()
            world.network.sever()
            await until(lambda: not tunnel(server).published)
            async with visiting(server, FakeStream(GET)) as (second,):
                await anyio.sleep(3)
                assert upstream.running == 1
                away.__exit__(None, None, None)
                await until(lambda: first.over and second.over)
        assert (first.error, second.error) == (None, None)
        assert len(upstream.heads) == 2


async def test_restarted_server_does_not_know_the_tunnel(world: World) -> None:
    """The client goes on with a new one, and its old conversations end."""
    upstream = FakeUpstream(lambda stream: anyio.sleep_forever())
    async with world.client(upstream) as client:
        async with world.server() as server:
            await client.ready()
            async with visiting(server, FakeStream(GET)):
                await until(lambda: upstream.running)
                world.network.sever()
        upstream.handler = echo
        async with world.server() as server:
            await until(lambda: upstream.cancelled, within_s=10)
            await client.ready()
            assert (await ask(server)).status == 200


@pytest.mark.rule("R17")
@pytest.mark.parametrize("server_s", [0, 30])
async def test_resuming_is_off_when_either_side_says_so(world: World, server_s: float) -> None:
    upstream = FakeUpstream(lambda stream: anyio.sleep_forever())
    async with (
        world.server(resume_s=server_s) as server,
        world.client(upstream, resume_s=30 - server_s) as client,
    ):
        await client.ready()
        async with visiting(server, FakeStream(GET)) as (visit,):
            await until(lambda: upstream.running)
            world.network.sever()
            await until(lambda: visit.over, within_s=0.1)
        assert visit.error is not None
        assert visit.error.code is ErrorCode.PEER_LOST


async def test_conversations_of_a_process_end_when_it_is_superseded_while_away(world: World) -> None:
    upstream = FakeUpstream(lambda stream: anyio.sleep_forever())
    async with world.server() as server, world.client(upstream) as client:
        await client.ready()
        async with visiting(server, FakeStream(GET)) as (visit,):
            await until(lambda: upstream.running)
            away = unreachable(world)
            away.__enter__()
            world.network.sever()
            await until(lambda: not tunnel(server).published)
            away.__exit__(None, None, None)
            link = await register(world, client_id="one", instance_id=bytes(15) + b"x")
            await until(lambda: visit.over, within_s=0.1)
            link.abort()
        assert visit.error is not None
        assert visit.error.code is ErrorCode.PEER_LOST


@pytest.mark.rule("T4")
async def test_draining_client_comes_back_to_finish_what_was_under_way(world: World) -> None:
    upstream = FakeUpstream(slow_echo)
    async with world.server() as server, world.client(upstream) as client:
        await client.ready()
        async with visiting(server, FakeStream(POST, [BodyChunk(b"all", end=True)])) as (visit,):
            await until(lambda: upstream.running)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(lambda: client.aclose(drain_s=60))
                await anyio.sleep(1)
                world.network.sever()
            await until(lambda: visit.over, within_s=0.1)
        assert (visit.error, visit.stream.body) == (None, b"all")


async def test_configuration_that_changed_meanwhile_is_told_on_the_next_link(world: World) -> None:
    upstream = FakeUpstream(slow_echo)
    async with world.server() as server, world.client(upstream) as client:
        await client.ready()
        async with visiting(server, FakeStream(GET)) as (visit,):
            await until(lambda: upstream.running)
            with unreachable(world):
                world.network.sever()
                await until(lambda: not tunnel(server).published)
                changed = group(upstreams={"app": UpstreamSettings(targets=("http://127.0.0.1:3001",))})
                groups = {**server.settings.groups, "web": changed}
                await server.reload(msgspec.structs.replace(server.settings, groups=groups))
            await until(lambda: visit.over)
            record = tunnel(server)
            assert (visit.error, record.config_version, record.published) == (None, 2, True)


# -- by hand


async def answered(world: World, **fields: object) -> tuple[MemoryLink, RegisterResponse]:
    link = await register(world, **fields)
    frame = await link.receive()
    response = frame.envelopes[0].payload
    assert isinstance(response, RegisterResponse)
    return link, response


async def underway(
    world: World, script: Callable[[Server, RegisterResponse], Awaitable[None]], **limits: object
) -> None:
    """A client by hand has a tunnel with one conversation inside, and lost its link."""
    async with world.server(**limits) as server:
        link, response = await answered(world)
        await link.send(uncounted(ConfigApplied(1, response.config_hash)))
        await until(lambda: server.clients().clients and tunnel(server).published)
        async with visiting(server, FakeStream(GET)):
            await anyio.sleep(0.01)
            link.abort()
            await until(lambda: not tunnel(server).published)
            await script(server, response)


@pytest.mark.rule("R1", "R3", "R7", "R13")
async def test_tunnel_is_resumed_by_token(world: World) -> None:
    async def script(server: Server, response: RegisterResponse) -> None:
        resume = ResumeRequest(response.tunnel_id, response.resume_token, 1, 0)
        link, again = await answered(world, resume=resume, config_hash=response.config_hash)
        assert (again.resumed, again.tunnel_id, again.received) == (True, response.tunnel_id, 0)
        assert len(response.resume_token) == 32
        assert again.resume_token == response.resume_token
        await until(lambda: tunnel(server).published, within_s=0.1)
        frame = await link.receive()
        assert (frame.seq, frame.envelopes[0].payload.method) == (1, "GET")
        link.abort()

    await underway(world, script)


@pytest.mark.rule("R2", "R14")
@pytest.mark.parametrize("wrong", ["token", "tunnel", "instance_id", "client_id", "group_id"])
async def test_wrong_claim_is_registered_as_if_nothing_had_been_asked(world: World, wrong: str) -> None:
    async def script(server: Server, response: RegisterResponse) -> None:
        token = bytes(32) if wrong == "token" else response.resume_token
        tunnel = "0" * 32 if wrong == "tunnel" else response.tunnel_id
        others = {"instance_id": bytes(15) + b"x", "client_id": "other", "group_id": "api"}
        fields = {wrong: others[wrong]} if wrong in others else {}
        link, again = await answered(world, resume=ResumeRequest(tunnel, token, 1, 0), **fields)
        assert not again.resumed
        assert again.tunnel_id != response.tunnel_id
        link.abort()

    await underway(world, script)


@pytest.mark.rule("R14", "H23")
async def test_superseded_process_that_was_not_told_so_yet_is_told_when_it_comes_back(world: World) -> None:
    """It has left the link on which it is being told; resumed, it would believe that it serves."""
    async with world.server() as server:
        older, response = await answered(world, instance_id=b"a" * 16)
        await older.send(uncounted(ConfigApplied(1, response.config_hash)))
        await until(lambda: server.clients().clients and tunnel(server).published)
        world.network.pairs()[0].stall()
        newer, _ = await answered(world, instance_id=b"b" * 16)
        resume = ResumeRequest(response.tunnel_id, response.resume_token, 1, 0)
        again = await register(world, instance_id=b"a" * 16, config_hash=response.config_hash, resume=resume)
        (envelope,) = (await again.receive()).envelopes
        assert isinstance(envelope.payload, Error)
        assert envelope.payload.code == "superseded"
        for link in (older, newer, again):
            link.abort()


@pytest.mark.rule("H15")
async def test_first_configuration_is_rejected_for_good_on_a_resumed_link_too(world: World) -> None:
    """The client came back before the server had noticed, and before it had applied anything."""
    served = Recorder()
    async with world.server(telemetry=served) as server:
        first, response = await answered(world)
        resume = ResumeRequest(response.tunnel_id, response.resume_token, 1, 0)
        link, again = await answered(world, resume=resume)
        assert again.resumed
        await link.receive()
        await link.send(uncounted(ConfigRejected(1, again.config_hash, "no")))
        await until(lambda: not server.clients().clients, within_s=2)
        assert served.of(ClientPublished) == []
        link.abort()
        first.abort()


async def test_client_that_never_applied_a_configuration_is_not_ready_because_it_rejects_one(world: World) -> None:
    """Nor because it was resumed, and the server answers its pings."""
    links: list[Link] = []

    async def script(link: Link) -> None:
        links.append(link)
        resumed = len(links) == 2
        await link.receive()
        await link.send(uncounted(RegisterResponse("t", bytes(32), "s", 1, resumed=resumed, config_hash="h")))
        if resumed:
            await link.send(uncounted(ConfigSyncResponse(1, "h", b"garbage")))
            while True:
                payload = (await link.receive()).envelopes[0].payload
                if isinstance(payload, Ping):
                    await link.send(uncounted(Pong(payload.nonce)))

    dialled = Recorder()
    async with ScriptedServer(world.network, script).running(), world.client(telemetry=dialled):
        await until(lambda: dialled.of(TunnelResumed))
        await anyio.sleep(12)
        assert len(links) == 2
    assert dialled.of(TunnelReady) == []


async def test_tunnel_outlives_an_attempt_that_stalls_in_the_handshake(world: World) -> None:
    async def script(server: Server, response: RegisterResponse) -> None:
        # Its configuration is another one, and there is no room for being told of it.
        link = await register(world, resume=ResumeRequest(response.tunnel_id, response.resume_token, 1, 0))
        world.network.pairs()[-1].slow_down(0, capacity_frames=0)
        await anyio.sleep(11)
        link.abort()
        resume = ResumeRequest(response.tunnel_id, response.resume_token, 2, 0)
        link, again = await answered(world, resume=resume, config_hash=response.config_hash)
        assert again.resumed
        link.abort()

    await underway(world, script)


async def test_tunnel_that_was_resumed_stays_when_another_of_the_same_process_can_serve(world: World) -> None:
    """It was doubted while it was away; coming back is an answer."""

    async def script(server: Server, response: RegisterResponse) -> None:
        second, _ = await answered(world)
        resume = ResumeRequest(response.tunnel_id, response.resume_token, 1, 0)
        first, _ = await answered(world, resume=resume, config_hash=response.config_hash)
        await second.send(uncounted(ConfigApplied(1, response.config_hash)))
        await anyio.sleep(0.01)
        (client,) = server.clients().clients
        assert [each.published for each in client.tunnels] == [True, True]
        first.abort()
        second.abort()

    await underway(world, script)


@pytest.mark.rule("R5")
async def test_attempt_that_is_not_above_the_last_closes_only_its_own_link(world: World) -> None:
    async def script(server: Server, response: RegisterResponse) -> None:
        def resume(attempt: int) -> ResumeRequest:
            return ResumeRequest(response.tunnel_id, response.resume_token, attempt, 0)

        current, again = await answered(world, resume=resume(7), config_hash=response.config_hash)
        assert again.resumed
        await current.receive()
        for attempt in (7, 6, 0):
            late = await register(world, resume=resume(attempt))
            with pytest.raises(LinkError) as caught:
                await late.receive()
            assert caught.value.end is LinkEnd.ENDED
        # The one that was accepted lives on: it gets its heartbeats.
        assert await current.receive()
        current.abort()

    await underway(world, script)


async def exhaust(link: MemoryLink) -> None:
    while True:
        await link.receive()


@pytest.mark.rule("R15")
async def test_impossible_count_of_what_was_received_ends_the_tunnel(world: World) -> None:
    async def script(server: Server, response: RegisterResponse) -> None:
        resume = ResumeRequest(response.tunnel_id, response.resume_token, 1, 99)
        link, _ = await answered(world, resume=resume)
        with pytest.raises(LinkError):
            await exhaust(link)

    await underway(world, script)


@pytest.mark.rule("R4")
async def test_resuming_takes_no_further_place(world: World) -> None:
    """A client at its cap, in its own name, is neither refused nor does it supersede itself."""

    async def script(server: Server, response: RegisterResponse) -> None:
        resume = ResumeRequest(response.tunnel_id, response.resume_token, 1, 0)
        link, again = await answered(world, resume=resume)
        assert again.resumed
        assert tunnel(server).tunnel_id == response.tunnel_id
        link.abort()

    await underway(world, script, max_links=1)


@pytest.mark.rule("R12")
async def test_limits_stay_those_of_the_beginning(world: World) -> None:
    async def script(server: Server, response: RegisterResponse) -> None:
        limits = LimitsSettings(max_sessions=7)
        await server.reload(msgspec.structs.replace(server.settings, limits=limits))
        resume = ResumeRequest(response.tunnel_id, response.resume_token, 1, 0)
        link, again = await answered(world, resume=resume)
        assert (again.resumed, again.limits) == (True, response.limits)
        link.abort()

    await underway(world, script)


@pytest.mark.rule("T5")
async def test_tunnel_cannot_be_resumed_when_its_time_is_over(world: World) -> None:
    async def script(server: Server, response: RegisterResponse) -> None:
        await anyio.sleep(2.5)
        resume = ResumeRequest(response.tunnel_id, response.resume_token, 1, 0)
        link, again = await answered(world, resume=resume)
        assert not again.resumed
        link.abort()

    await underway(world, script, resume_s=2)


@pytest.mark.rule("R23")
async def test_client_that_drains_does_not_displace_its_successor(world: World) -> None:
    """The server it was draining from is gone, and another has its successor by now."""
    upstream = FakeUpstream(lambda stream: anyio.sleep_forever())
    async with anyio.create_task_group() as tasks, world.client(upstream) as old:
        async with world.server() as server:
            await old.ready()
            async with visiting(server, FakeStream(GET)):
                await until(lambda: upstream.running)
                tasks.start_soon(lambda: old.aclose(drain_s=60))
                await anyio.sleep(0.1)
                world.network.silence()
        started = anyio.current_time()
        async with world.server() as server, world.client() as successor:
            await successor.ready()
            await until(lambda: upstream.cancelled, within_s=30)
            assert anyio.current_time() - started > 10
            await anyio.sleep(60)
            assert successor._lines.current.ready
            assert (await ask(server)).status == 200


@pytest.mark.rule("L13")
async def test_end_of_a_link_without_close_is_a_break(world: World) -> None:
    """However orderly the transport was closed, the tunnel waits for its client."""
    upstream = FakeUpstream(slow_echo)
    async with world.server() as server, world.client(upstream) as client:
        await client.ready()
        async with visiting(server, FakeStream(GET)) as (visit,):
            await until(lambda: upstream.running)
            await world.network.pairs()[0].server.aclose()
            await until(lambda: visit.over)
        assert visit.error is None


@pytest.mark.rule("R22")
async def test_server_that_has_the_other_end_is_looked_for_first(world: World) -> None:
    """Five seconds long; then any server will do, though it cannot know the tunnel."""
    upstream = FakeUpstream(lambda stream: anyio.sleep_forever())
    servers = ("memory://one", "memory://two")
    async with (
        world.server(name="one") as one,
        world.server(name="two") as two,
        world.client(upstream, servers=servers) as client,
    ):
        await client.ready()
        # What may have begun is not begun again on the tunnel with which the client returns to the first.
        async with visiting(one, FakeStream(HttpRequest("POST", b"/", host=b"app.test", end=True))) as (visit,):
            await until(lambda: upstream.running)
            acceptor = world.network._acceptors.pop("one")
            world.network.sever()
            lost_at = anyio.current_time()
            await until(lambda: two.clients().clients, within_s=10)
            assert 5 <= anyio.current_time() - lost_at < 8
            await until(lambda: upstream.cancelled, within_s=0.1)
            world.network._acceptors["one"] = acceptor
            await until(lambda: visit.over)
        assert visit.error is not None
        assert visit.error.code is ErrorCode.PEER_LOST


async def test_response_that_started_before_the_loss_is_not_started_again(world: World) -> None:
    started = 0

    async def handle(stream: Stream) -> None:
        nonlocal started
        started += 1
        await stream.send(HttpResponse(200, (b"n", b"1")))
        await anyio.sleep(5)
        await stream.send(BodyChunk(b"body", end=True))

    dialled = Recorder()
    async with world.server() as server, world.client(FakeUpstream(handle), telemetry=dialled) as client:
        await client.ready()
        async with visiting(server, FakeStream(GET)) as (visit,):
            await until(lambda: visit.stream.answer)
            world.network.sever()
            await until(lambda: visit.over)
        assert (started, visit.error, visit.stream.body) == (1, None, b"body")
        assert len(dialled.of(LinkLost)) == 1
