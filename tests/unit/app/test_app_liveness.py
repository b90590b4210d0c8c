"""Links that hang, heartbeats, and many reconnects, all on virtual time."""

from __future__ import annotations

import random

import anyio
import pytest
from support.app_kit import FakeStream, FakeUpstream, Recorder, World, ask, echo, until

from tunnel.domain.envelopes import HttpRequest, Ping
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.ports.target import Stream
from tunnel.ports.telemetry import ClientPublished, ClientUnpublished, LinkLost, TunnelReady

pytestmark = pytest.mark.anyio

GET = HttpRequest("GET", b"/", host=b"app.test", end=True)
HEARTBEAT_S = 5.0


@pytest.mark.rule("T8")
@pytest.mark.parametrize("quiet_s", [0.0, 0.1, 3.3, 17.77])
async def test_half_open_link_is_noticed_by_both_sides_within_three_heartbeats(world: World, quiet_s: float) -> None:
    served, dialled = Recorder(), Recorder()
    async with world.server(telemetry=served) as server, world.client(telemetry=dialled) as client:
        await client.ready()
        await anyio.sleep(quiet_s)
        world.network.silence()
        lost_at = anyio.current_time()
        await until(lambda: served.of(ClientUnpublished) and dialled.of(LinkLost), within_s=3.5 * HEARTBEAT_S)
        # In the worst case the last sign of life came just before the silence.
        assert anyio.current_time() - lost_at < 3 * HEARTBEAT_S + 1
        assert dialled.of(LinkLost)[0].reason.startswith("nothing heard for 15.0 s")
        await until(lambda: len(served.of(ClientPublished)) == 2, within_s=1)
        await client.ready()
        assert (await ask(server)).status == 200
        assert len(server.clients().clients[0].tunnels) == 1


async def test_conversation_on_a_half_open_link_fails_within_three_heartbeats_without_resuming(world: World) -> None:
    upstream = FakeUpstream(lambda stream: anyio.sleep_forever())
    async with world.pair(upstream, resume_s=0) as server, anyio.create_task_group() as tasks:
        codes: list[ErrorCode] = []

        async def visit() -> None:
            try:
                await server._target.handle(FakeStream(GET))
            except SessionError as exc:
                codes.append(exc.code)

        tasks.start_soon(visit)
        await until(lambda: upstream.running)
        world.network.silence()
        await until(lambda: codes and not upstream.running, within_s=3 * HEARTBEAT_S + 1)
        assert codes == [ErrorCode.PEER_LOST]


async def test_quiet_link_stays_up_for_an_hour_of_heartbeats(world: World) -> None:
    """Both sides ping every five seconds: 720 pings each, and nothing else happens."""
    served, dialled = Recorder(), Recorder()
    async with (
        world.server(telemetry=served, heartbeat_s=HEARTBEAT_S) as server,
        world.client(telemetry=dialled, heartbeat_s=HEARTBEAT_S) as client,
    ):
        await client.ready()
        (pair,) = world.network.pairs()
        pings = 0
        receive = pair.client.receive

        async def counting() -> object:
            nonlocal pings
            frame = await receive()
            pings += sum(isinstance(envelope.payload, Ping) for envelope in frame.envelopes)
            return frame

        pair.client.receive = counting  # type: ignore[method-assign,assignment]
        await anyio.sleep(3600)
        assert 715 <= pings <= 721
        assert (await ask(server)).status == 200
        assert (served.of(LinkLost), dialled.of(LinkLost)) == ([], [])
        assert len(dialled.of(TunnelReady)) == 1


async def test_hundred_lost_links_are_replaced_with_requests_in_between(world: World) -> None:
    served, dialled = Recorder(), Recorder()
    upstream = FakeUpstream()
    seeded = random.Random(42)
    async with world.server(telemetry=served) as server, world.client(upstream, telemetry=dialled) as client:
        for number in range(100):
            await client.ready()
            for _ in range(3):
                body = b"%d" % seeded.randrange(1000)
                assert (200, body) == await _asked(server, body)
            # Lost at once, or after a stable while.
            await anyio.sleep(seeded.choice((0, 0.3, 12)))
            if number % 10 == 9:
                world.network.silence()
            else:
                world.network.sever()
            await until(lambda number=number: len(dialled.of(LinkLost)) == number + 1, within_s=20)
        await client.ready()
        assert await _asked(server, b"last") == (200, b"last")
        assert len(server.clients().clients) == 1
        assert len(dialled.of(TunnelReady)) == 101
        assert len(served.of(ClientPublished)) == 101
        await until(lambda: len(served.of(ClientUnpublished)) == 100, within_s=20)
    assert len(upstream.heads) == 301


async def _asked(server: object, body: bytes) -> tuple[int, bytes]:
    answer = await ask(server, body=body)  # type: ignore[arg-type]
    return answer.status, answer.body


async def test_requests_under_way_while_links_break_have_one_outcome_each(world: World) -> None:
    """Whole and right, or a well-formed 502 or 503; the client recovers by itself."""

    async def slowly(stream: Stream) -> None:
        await anyio.sleep(0.05)
        await echo(stream)

    outcomes: dict[int, int] = {}

    async def visit(number: int) -> None:
        await anyio.sleep(number * 0.01)
        body = b"%d" % number * 100
        answer = await ask(server, body=body)
        assert answer.complete
        assert answer.status != 200 or answer.body == body
        assert number not in outcomes
        outcomes[number] = answer.status

    async with world.pair(slowly) as server:
        async with anyio.create_task_group() as tasks:
            for number in range(1000):
                tasks.start_soon(visit, number)
            for _ in range(10):
                await anyio.sleep(0.8)
                world.network.sever()
        assert len(outcomes) == 1000
        assert {200, 502, 503} >= set(outcomes.values())
        assert sum(status == 200 for status in outcomes.values()) > 300
        await until(lambda: server.clients().clients)
        await anyio.sleep(60)
        assert (await ask(server)).status == 200


@pytest.mark.rule("L7")
async def test_link_that_is_made_and_lost_again_and_again_is_not_hammered(world: World) -> None:
    """A link that did not last does not reset the delays."""
    dialled = Recorder()
    async with world.server(), world.client(telemetry=dialled), anyio.create_task_group() as tasks:

        async def cut() -> None:
            while True:
                world.network.sever()
                await anyio.sleep(0.05)

        tasks.start_soon(cut)
        await anyio.sleep(600)
        tasks.cancel_scope.cancel()
    assert len(dialled.of(LinkLost)) < 100
