"""Visitors that end their input, that leave, that read slowly, and uploads that nobody takes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator

import anyio
import pytest
from ingress_kit import DEADLINE_S, Target
from listener_kit import CHUNKED_POST, GET, HandClock, Visitor, forever, hello, running, tell_path, within

from tunnel.adapters.http import ingress_departure, ingress_lingering
from tunnel.adapters.http.ingress_protocol import IngressProtocol
from tunnel.adapters.http.ingress_timer import Due
from tunnel.adapters.http.ingress_wire import STATUS_START
from tunnel.domain.envelopes import BodyChunk, HttpResponse
from tunnel.ports.target import Stream

pytestmark = pytest.mark.anyio

WAITS_S = ingress_departure._WAITS_S
GET10 = b"GET / HTTP/1.0\r\n\r\n"


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    if request.param:
        pytest.importorskip("uvloop")
    return "asyncio", {"use_uvloop": request.param}


class TwoWaits:
    """Those of a connection that is probed twice, soon, and of which is known when both have passed."""

    def __init__(self) -> None:
        self._over = anyio.Event()

    def __iter__(self) -> Iterator[float]:
        yield 0.01
        yield 0.01
        self._over.set()

    async def over(self) -> None:
        await within(self._over.wait())


@pytest.fixture(autouse=True)
def probes(monkeypatch: pytest.MonkeyPatch) -> TwoWaits:
    waits = TwoWaits()
    monkeypatch.setattr(ingress_departure, "_WAITS_S", waits)
    return waits


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> HandClock:
    return HandClock.of_connections(monkeypatch)


# -- those that say no more


async def test_visitor_that_ends_its_input_gets_its_answers() -> None:
    async with running(tell_path) as run:
        visitor = await run.visitor()
        visitor.say(b"GET /1 HTTP/1.1\r\nHost: a.test\r\n\r\nGET /2 HTTP/1.1\r\nHost: a.test\r\n\r\n")
        visitor.writer.write_eof()
        assert (await visitor.response())[2] == b"/1"
        assert (await visitor.response())[2] == b"/2"
        assert await visitor.rest() == b""


@pytest.mark.parametrize("request_", [GET, GET10], ids=["1.1", "1.0"])
async def test_visitor_that_ends_its_input_is_waited_for_and_sees_nothing_of_it(
    request_: bytes, probes: TwoWaits
) -> None:
    proceed = anyio.Event()

    async def script(stream: Stream) -> None:
        await proceed.wait()
        await hello(stream)

    target = Target(script)
    async with running(target) as run:
        visitor = await run.visitor()
        visitor.say(request_)
        visitor.writer.write_eof()
        await within(target.entered.wait())
        await probes.over()
        assert await visitor.bytes(2) == b"HT"
        proceed.set()
        assert await visitor.rest() == b"TP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello"
    assert not target.cancelled.is_set()


async def test_refusal_after_probes_is_whole(probes: TwoWaits) -> None:
    async def script(stream: Stream) -> None:
        await probes.over()

    async with running(script) as run:
        visitor = await run.visitor()
        visitor.say(GET)
        visitor.writer.write_eof()
        status, headers, body = await visitor.response()
        assert (status, headers[b"connection"], json.loads(body)["code"]) == (500, b"close", "internal")


async def test_chunks_go_on_after_the_input_ended(probes: TwoWaits) -> None:
    proceed = anyio.Event()

    async def script(stream: Stream) -> None:
        await stream.send(HttpResponse(200, (), b"one"))
        await proceed.wait()
        await stream.send(BodyChunk(b"two"))
        await stream.send(BodyChunk(end=True))

    async with running(script) as run:
        visitor = await run.visitor()
        visitor.say(GET)
        await visitor.head()
        visitor.writer.write_eof()
        await probes.over()
        proceed.set()
        body = await visitor.rest()
    # Zeros before a chunk's size are part of it.
    sizes = [int(body[0:1], 16), int(body.split(b"\r\n")[2], 16)]
    assert (sizes, body.replace(b"00", b"")) == ([3, 3], b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")


@pytest.mark.parametrize("said", [GET[:10], CHUNKED_POST + b"3\r\non"], ids=["head", "body"])
async def test_request_that_ends_before_it_is_complete_is_400(said: bytes) -> None:
    target = Target(forever)
    async with running(target) as run:
        visitor = await run.visitor()
        visitor.say(said)
        if said[:4] == b"POST":
            await within(target.entered.wait())
        visitor.writer.write_eof()
        status, headers, body = await visitor.response()
        assert (status, headers[b"connection"], json.loads(body)["code"]) == (400, b"close", "bad_request")
        assert await visitor.rest() == b""
        if said[:4] == b"POST":
            await within(target.cancelled.wait())


async def test_half_a_request_behind_a_whole_one_does_not_cost_its_answer(probes: TwoWaits) -> None:
    proceed = anyio.Event()

    async def script(stream: Stream) -> None:
        await proceed.wait()
        await hello(stream)

    target = Target(script)
    async with running(target) as run:
        visitor = await run.visitor()
        visitor.say(GET + GET[:10])
        visitor.writer.write_eof()
        await within(target.entered.wait())
        await probes.over()
        proceed.set()
        assert (await visitor.response())[2] == b"hello"
        assert await visitor.rest() == b""


# -- those that have left


async def stream_some(stream: Stream) -> None:
    await stream.send(HttpResponse(200, (), b"part"))
    await anyio.sleep_forever()


async def declare_more(stream: Stream) -> None:
    await stream.send(HttpResponse(200, (b"content-length", b"10"), b"part"))
    await anyio.sleep_forever()


@pytest.mark.parametrize("request_", [GET, GET10], ids=["1.1", "1.0"])
@pytest.mark.parametrize("script", [forever, stream_some, declare_more], ids=["nothing", "chunks", "length"])
async def test_visitor_that_has_left_cancels_the_target_whatever_was_sent(
    request_: bytes, script: Callable[[Stream], object]
) -> None:
    target = Target(script)  # type: ignore[arg-type]
    async with running(target) as run:
        visitor = await run.visitor()
        visitor.say(request_)
        await within(target.entered.wait())
        if script is not forever:
            await visitor.head()
            await visitor.bytes(4)
        visitor.leave()
        await within(target.cancelled.wait())


def test_departure_is_found_out_within_a_second() -> None:
    assert sum(WAITS_S) < 1
    assert len(WAITS_S) < len(STATUS_START)


# -- uploads that nobody takes


async def pour(visitor: Visitor, size: int = 2**20) -> None:
    visitor.say(b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: %d\r\n\r\n" % size)
    visitor.say(b"x" * size)


async def full(connection: IngressProtocol) -> None:
    """As much of the upload has been read ahead as may be."""
    async with asyncio.timeout(DEADLINE_S):
        while not connection.flow.read_paused:  # noqa: ASYNC110
            await asyncio.sleep(0)


async def test_upload_that_the_target_leaves_waiting_is_given_up() -> None:
    target = Target(forever)
    async with running(target, upload_stall_s=0.05) as run:
        visitor = await run.visitor()
        await pour(visitor)
        status, headers, body = await visitor.response()
        assert (status, headers[b"connection"], json.loads(body)["code"]) == (504, b"close", "upstream_timeout")
        await within(target.cancelled.wait())


async def test_upload_may_wait_for_ever_where_that_is_configured() -> None:
    target = Target(forever)
    async with running(target, upload_stall_s=0) as run:
        visitor = await run.visitor()
        await pour(visitor)
        await within(target.entered.wait())
        connection = run.connection()
        await full(connection)
        assert connection._deadline.due is Due.NOTHING


async def test_target_that_takes_a_little_now_and_then_keeps_its_upload(clock: HandClock) -> None:
    async def script(stream: Stream) -> None:
        for _ in range(3):
            await full(run.connection())
            clock.pass_time(40)
            await stream.receive()
        while not (await stream.receive()).end:
            pass
        await hello(stream)

    async with running(script, upload_stall_s=60) as run:
        visitor = await run.visitor()
        await pour(visitor)
        assert (await visitor.response())[2] == b"hello"


async def test_answer_that_moves_keeps_an_upload_that_waits(clock: HandClock) -> None:
    async def script(stream: Stream) -> None:
        await stream.send(HttpResponse(200))
        await full(run.connection())
        for _ in range(10):
            clock.pass_time(40)
            await stream.send(BodyChunk(b"x"))
        await stream.send(BodyChunk(end=True))

    async with running(script, upload_stall_s=60) as run:
        visitor = await run.visitor()
        await pour(visitor)
        await visitor.head()
        assert await visitor.rest() == b"1\r\nx\r\n" * 10 + b"0\r\n\r\n"


# -- visitors that read slowly


async def test_slow_reader_of_a_large_answer_gets_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingress_lingering, "_LINGER_QUIET_S", 0.01)
    size = 8 * 2**20

    async def script(stream: Stream) -> None:
        await stream.send(HttpResponse(200, (), b"x" * size, end=True))

    async with running(script) as run:
        visitor = await run.visitor(limit=1024)
        # The body is not wanted, so the connection lingers.
        visitor.say(b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100\r\n\r\n")
        status, headers = await visitor.head()
        assert (status, dict(headers)[b"connection"]) == (200, b"close")
        await asyncio.sleep(0.1)
        assert await visitor.bytes(size) == b"x" * size


async def test_target_waits_for_a_visitor_that_does_not_read() -> None:
    sent = 0

    async def script(stream: Stream) -> None:
        nonlocal sent
        await stream.send(HttpResponse(200))
        while True:
            await stream.send(BodyChunk(b"x" * 65536))
            sent += 1

    async with running(script) as run:
        visitor = await run.visitor(limit=1024)
        visitor.say(GET)
        await visitor.head()
        connection = run.connection()
        async with asyncio.timeout(DEADLINE_S):
            # The system takes more while it makes room: it is full when nothing goes on for many rounds.
            before = -1
            while sent != before or not connection.flow.write_paused:
                before = sent
                for _ in range(100):
                    await asyncio.sleep(0)
        async with asyncio.timeout(DEADLINE_S):
            while sent < before + 100:
                await visitor.bytes(65536)


async def test_pipelined_answers_wait_for_a_visitor_that_does_not_read() -> None:
    size = 4 * 2**20
    handled = 0

    async def script(stream: Stream) -> None:
        nonlocal handled
        handled += 1
        await stream.send(HttpResponse(200, (), b"x" * size, end=True))

    async with running(script) as run:
        visitor = await run.visitor(limit=1024)
        visitor.say(GET * 8)
        await visitor.head()
        await asyncio.sleep(0.02)
        assert handled < 4
        await visitor.bytes(size)
        for _ in range(7):
            assert (await visitor.response())[0] == 200
