"""A server and a client in one process: what visitors get, and what each fault does to them."""

from __future__ import annotations

import json
from typing import Any

import anyio
import httpx
import pytest

from tunnel.domain.configuration import LimitsSettings
from tunnel.domain.envelopes import HttpRequest, HttpResponse
from tunnel.domain.errors import ConfigurationError
from tunnel.ports.target import ProxyTarget, Stream
from tunnel.ports.telemetry import LinkLost, TunnelResumed
from tunnel.testing.faults import Cut, Delay, FaultSchedule, HalfOpen, Heal, ScheduledFault
from tunnel.testing.fixtures import TunnelPairs, open_tunnel_pair

pytest_plugins = ["tunnel.testing.fixtures"]
pytestmark = pytest.mark.anyio


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Echoes a request, and says what it was."""
    if scope["type"] == "lifespan":
        raise NotImplementedError
    headers = [
        (b"x-asked", f"{scope['method']} {scope['path']}".encode()),
        (b"x-host", dict(scope["headers"])[b"host"]),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    more = True
    while more:
        message = await receive()
        more = message.get("more_body", False)
        await send({"type": "http.response.body", "body": message.get("body", b""), "more_body": more})


class Countdown:
    """An application that sends a chunk every second, and notes how many it sent and whether it was left."""

    def __init__(self, chunks: int) -> None:
        self.chunks = chunks
        self.sent = 0
        self.over = anyio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise NotImplementedError
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for number in range(self.chunks):
                await anyio.sleep(1)
                await send({"type": "http.response.body", "body": b"%d " % number, "more_body": True})
                self.sent += 1
            await send({"type": "http.response.body"})
        finally:
            self.over.set()


class Greeting(ProxyTarget):
    async def handle(self, stream: Stream) -> None:
        head = stream.head
        assert isinstance(head, HttpRequest)
        await stream.send(HttpResponse(200, (), b"hello " + head.path, end=True))


async def test_visitor_reaches_the_application(tunnel_pair: TunnelPairs):
    async with tunnel_pair(app) as pair:
        answer = await pair.post("/a%20b?c=d", b"body", headers=[("X-One", "1")])

    assert (answer.status, answer.body, answer.complete) == (200, b"body", True)
    assert answer.header("X-Asked") == "POST /a b"
    assert answer.header("x-host") == "app.test"
    assert answer.header("x-none") is None


async def test_visitor_asks_for_other_hosts_and_is_told_that_there_is_nobody(tunnel_pair: TunnelPairs):
    async with tunnel_pair(app, host="shop.test") as pair:
        assert (await pair.get("/")).header("x-host") == "shop.test"
        answer = await pair.get("/", headers=[("Host", "other.test")])

    assert answer.status == 404
    assert answer.json()["code"] == "route_not_found"


async def test_target_is_reached_as_applications_are(tunnel_pair: TunnelPairs):
    async with tunnel_pair(target=Greeting()) as pair:
        assert (await pair.get("/you")).text == "hello /you"


async def test_httpx_is_a_visitor_too(tunnel_pair: TunnelPairs):
    async with (
        tunnel_pair(app) as pair,
        httpx.AsyncClient(transport=httpx.ASGITransport(pair.server.ingress), base_url="http://app.test") as visitor,
    ):
        answer = await visitor.post("/x", content=json.dumps({"a": 1}))

    assert answer.json() == {"a": 1}
    assert answer.headers["x-asked"] == "POST /x"


async def test_application_behind_wsgi_is_reached(tunnel_pair: TunnelPairs, anyio_backend: tuple[str, dict[str, Any]]):
    if anyio_backend[0] == "trio":
        pytest.skip("WSGI needs threads, which virtual time does not wait for")

    def wsgi(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("X-Path", environ["PATH_INFO"])])
        return [b"from wsgi"]

    async with tunnel_pair(wsgi) as pair:
        answer = await pair.get("/w")

    assert (answer.text, answer.header("x-path")) == ("from wsgi", "/w")


async def test_response_is_had_chunk_by_chunk_as_it_comes(tunnel_pair: TunnelPairs):
    async with tunnel_pair(Countdown(3)) as pair:
        started_at = anyio.current_time()
        async with pair.exchange("GET", "/", body=b"") as exchange:
            times = [round(anyio.current_time() - started_at) async for _ in exchange]

    assert exchange.status == 200
    assert times == [1, 2, 3]
    assert exchange.complete


async def test_request_is_sent_chunk_by_chunk_while_the_response_comes(tunnel_pair: TunnelPairs):
    async with tunnel_pair(app) as pair, pair.exchange("POST", "/") as exchange:
        for chunk in (b"one", b"two"):
            exchange.feed(chunk)
            assert await anext(exchange) == chunk
        exchange.feed(b"", end=True)
        rest = await exchange.answer()

    assert (rest.status, rest.body, rest.complete) == (200, b"", True)


async def test_visitor_that_leaves_ends_the_work_of_the_application(tunnel_pair: TunnelPairs):
    counting = Countdown(1000)
    async with tunnel_pair(counting) as pair:
        async with pair.exchange("GET", "/", body=b"") as exchange:
            await anext(exchange)
        with anyio.fail_after(5):
            await counting.over.wait()

    assert counting.sent < 1000


async def test_conversation_outlives_a_cut(tunnel_pair: TunnelPairs):
    async with tunnel_pair(Countdown(10)) as pair:
        async with anyio.create_task_group() as tasks:
            schedule = FaultSchedule(tuple(ScheduledFault(at_s, Cut()) for at_s in (2.5, 5.5)))
            tasks.start_soon(pair.faults.play, schedule, pair.clock)
            answer = await pair.get("/")
        lost, resumed = pair.events(LinkLost), pair.events(TunnelResumed)

    assert answer.body == b"".join(b"%d " % number for number in range(10))
    assert answer.complete
    # Each by both sides.
    assert (len(lost), len(resumed)) == (4, 4)


async def test_ready_waits_until_what_was_cut_is_back(tunnel_pair: TunnelPairs):
    async with tunnel_pair(app) as pair:
        for _ in range(3):
            pair.faults.cut()
            await pair.ready()
            assert (await pair.get("/")).status == 200


async def test_visitors_are_told_when_the_client_is_out_of_reach(tunnel_pair: TunnelPairs):
    async with tunnel_pair(app) as pair:
        pair.faults.cut(unreachable=True)
        await pair.until(lambda: pair.events(LinkLost))
        answer = await pair.get("/")
        pair.faults.heal()
        await pair.ready()
        again = await pair.get("/")

    assert (answer.status, answer.json()["code"]) == (503, "no_client")
    assert again.status == 200


async def test_half_open_link_is_found_by_its_heartbeats(tunnel_pair: TunnelPairs):
    async with tunnel_pair(app, limits=LimitsSettings(heartbeat_s=1)) as pair:
        pair.faults.half_open()
        started_at = anyio.current_time()
        await pair.until(lambda: pair.events(LinkLost))
        assert 2 <= anyio.current_time() - started_at <= 4
        await pair.ready()
        assert (await pair.get("/")).status == 200


async def test_delayed_link_takes_a_round_trip_for_an_answer(tunnel_pair: TunnelPairs):
    async with tunnel_pair(app) as pair:
        pair.faults.delay(0.5)
        started_at = anyio.current_time()
        await pair.get("/")

        assert anyio.current_time() - started_at == pytest.approx(1.0, abs=0.05)


async def test_throttled_link_takes_its_time_for_a_body(tunnel_pair: TunnelPairs):
    async with tunnel_pair(app) as pair:
        pair.faults.throttle(10_000)
        started_at = anyio.current_time()
        answer = await pair.post("/", bytes(100_000))

        assert answer.body == bytes(100_000)
        assert anyio.current_time() - started_at >= 10


async def test_reordered_frames_are_noticed_and_end_the_tunnel(tunnel_pair: TunnelPairs):
    async with tunnel_pair(Countdown(10)) as pair:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_lost, pair.get)
            await anyio.sleep(1.5)
            pair.faults.delay(0.01)
            pair.faults.reorder()
            for _ in range(5):
                tasks.start_soon(_lost, pair.get)
            await pair.until(lambda: [event for event in pair.events(LinkLost) if event.end == "violated"])
        await pair.ready()


async def _lost(get: Any) -> None:
    answer = await get("/")
    assert not answer.complete or answer.status == 502


async def test_schedule_heals_in_the_end(tunnel_pair: TunnelPairs):
    schedule = FaultSchedule(
        (
            ScheduledFault(1, Delay(0.3)),
            ScheduledFault(2, HalfOpen()),
            ScheduledFault(30, Cut(unreachable=True)),
            ScheduledFault(40, Heal()),
        )
    )
    async with tunnel_pair(app) as pair:
        await pair.faults.play(schedule, pair.clock)
        await pair.ready()
        assert (await pair.get("/")).status == 200


async def test_application_that_does_not_start_is_an_error_at_once(tunnel_pair: TunnelPairs):
    async def failing(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    with pytest.raises(ConfigurationError, match="no database"):
        async with tunnel_pair(failing):
            pass


@pytest.mark.parametrize("given", [{}, {"application": app, "target": Greeting()}])
async def test_neither_or_both_of_application_and_target_are_refused(given: dict[str, Any]):
    with pytest.raises(TypeError, match="either an application or a target"):
        async with open_tunnel_pair(**given):
            pass


async def test_two_pairs_know_nothing_of_each_other(tunnel_pair: TunnelPairs):
    async with tunnel_pair(app) as one, tunnel_pair(target=Greeting()) as other:
        one.faults.cut(unreachable=True)
        await one.until(lambda: one.events(LinkLost))

        assert (await other.get("/x")).text == "hello /x"


async def test_nothing_is_left_of_a_pair(tunnel_pair: TunnelPairs):
    async with tunnel_pair(app) as pair:
        await pair.get("/")

    assert pair.faults.links == []
    assert pair.server.clients().clients == ()
