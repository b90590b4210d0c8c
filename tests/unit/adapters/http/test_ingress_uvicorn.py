from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import signal
import socket
import weakref
from typing import Any

import anyio
import pytest
from ingress_kit import DEADLINE_S, Target
from listener_kit import CHUNKED_POST, GET, HandClock, echo, forever, hello, running, tell_path, within

from tunnel.adapters.http import ingress_departure, ingress_lingering, ingress_pipeline, ingress_uvicorn
from tunnel.adapters.http.ingress_protocol import IngressProtocol
from tunnel.adapters.http.ingress_types import IngressSettings
from tunnel.adapters.http.ingress_uvicorn import UvicornIngress
from tunnel.domain.envelopes import BodyChunk, HttpRequest, HttpResponse
from tunnel.domain.errors import ErrorCode, ListenError, SessionError
from tunnel.ports.target import Stream

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    if request.param:
        pytest.importorskip("uvloop")
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture(autouse=True)
def soon_departed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingress_departure, "_WAITS_S", (0.02, 0.02))


# Connections


async def test_pipelined_requests_are_answered_in_order_on_one_connection() -> None:
    async with running(tell_path) as run:
        visitor = await run.visitor()
        visitor.say(b"".join(b"GET /%d HTTP/1.1\r\nHost: a.test\r\n\r\n" % number for number in range(5)))
        assert [(await visitor.response())[2] for _ in range(5)] == [b"/0", b"/1", b"/2", b"/3", b"/4"]

        visitor.say(b"GET /again HTTP/1.1\r\nHost: a.test\r\n\r\n")
        assert (await visitor.response())[2] == b"/again"


async def test_pipelined_bodies_stay_with_their_requests() -> None:
    async with running(echo) as run:
        visitor = await run.visitor()
        visitor.say(
            b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\none"
            + CHUNKED_POST
            + b"3\r\ntwo\r\n0\r\n\r\n"
            + GET
        )
        assert [(await visitor.response())[2] for _ in range(3)] == [b"one", b"two", b""]


async def test_pipeline_has_an_end() -> None:
    paths: list[bytes] = []

    async def script(stream: Stream) -> None:
        assert isinstance(stream.head, HttpRequest)
        paths.append(stream.head.path)
        await tell_path(stream)

    async with running(script) as run:
        visitor = await run.visitor(limit=2**20)
        visitor.say(b"".join(b"GET /%d HTTP/1.1\r\nHost: a.test\r\n\r\n" % number for number in range(1000)))
        served = ingress_pipeline.MAX_WAITING
        for number in range(served):
            assert (await visitor.response())[2] == b"/%d" % number
        with contextlib.suppress(ConnectionResetError):  # closing with input unread resets
            assert await visitor.rest() == b""
    assert len(paths) == served


async def test_pipelining_in_step_with_the_answers_goes_on_for_ever() -> None:
    window = ingress_pipeline.MAX_WAITING // 2
    async with running(tell_path) as run:
        visitor = await run.visitor()
        for number in range(window):
            visitor.say(b"GET /%d HTTP/1.1\r\nHost: a.test\r\n\r\n" % number)
        for number in range(10 * window):
            assert (await visitor.response())[2] == b"/%d" % number
            if number < 9 * window:
                visitor.say(b"GET /%d HTTP/1.1\r\nHost: a.test\r\n\r\n" % (number + window))


async def test_accepted_connections_send_without_delay() -> None:
    nodelay: list[int] = []

    async with running(hello) as run:
        server = run.ingress._server
        assert server is not None
        visitor = await run.visitor()
        visitor.say(GET)
        await visitor.response()
        for connection in server.server_state.connections:
            accepted = connection.transport.get_extra_info("socket")
            nodelay.append(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    assert len(nodelay) == 1
    assert nodelay[0] != 0


async def test_upgrade_that_is_not_taken_up_leaves_the_connection_usable(caplog: pytest.LogCaptureFixture) -> None:
    async with running(tell_path) as run:
        visitor = await run.visitor()
        upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n"
        visitor.say(b"GET /1 HTTP/1.1\r\nHost: a.test\r\n" + upgrade + b"GET /2 HTTP/1.1\r\nHost: a.test\r\n\r\n")
        assert [(await visitor.response())[2] for _ in range(2)] == [b"/1", b"/2"]

        visitor.say(b"GET /3 HTTP/1.1\r\nHost: a.test\r\n" + upgrade)
        assert (await visitor.response())[2] == b"/3"
        visitor.say(b"GET /4 HTTP/1.1\r\nHost: a.test\r\n\r\n")
        assert (await visitor.response())[2] == b"/4"
    assert caplog.text == ""


async def test_connection_that_is_done_leaves_no_garbage_in_cycles() -> None:
    made: list[weakref.ref[Any]] = []

    async def script(stream: Stream) -> None:
        made.append(weakref.ref(stream))
        await hello(stream)

    async with running(script) as run:
        visitor = await run.visitor()
        gc.disable()
        try:
            for _ in range(3):
                visitor.say(GET)
                await visitor.response()
            await asyncio.sleep(0)
        finally:
            gc.enable()

    assert [ref() for ref in made] == [None] * 3


# Responses on the wire


async def test_repeated_headers_stay_repeated() -> None:
    async def script(stream: Stream) -> None:
        await stream.send(HttpResponse(200, (b"set-cookie", b"a=1", b"set-cookie", b"b=2"), b"", end=True))

    async with running(script) as run:
        visitor = await run.visitor()
        visitor.say(GET)
        status, fields = await visitor.head()

    assert status == 200
    assert fields == [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2"), (b"content-length", b"0")]


@pytest.mark.parametrize(
    ("method", "status", "headers", "expected"),
    [
        (b"HEAD", 200, (b"content-length", b"5"), [(b"content-length", b"5")]),
        (b"HEAD", 200, (), []),
        (b"GET", 204, (b"content-length", b"5"), []),
        (b"GET", 304, (b"content-length", b"5", b"etag", b"x"), [(b"etag", b"x")]),
    ],
)
async def test_responses_without_body_leave_the_connection_usable(
    method: bytes, status: int, headers: tuple[bytes, ...], expected: list[tuple[bytes, bytes]]
) -> None:
    async def script(stream: Stream) -> None:
        await stream.send(HttpResponse(status, headers, b"hello", end=True))

    async with running(script) as run:
        visitor = await run.visitor()
        for _ in range(2):
            visitor.say(method + b" / HTTP/1.1\r\nHost: a.test\r\n\r\n")
            assert await visitor.head() == (status, expected)


async def test_streamed_response_is_chunked_and_flushed_as_it_comes() -> None:
    proceed = anyio.Event()

    async def script(stream: Stream) -> None:
        await stream.send(HttpResponse(200))
        await stream.send(BodyChunk(b"one"))
        await proceed.wait()
        await stream.send(BodyChunk(b"two", end=True))

    async with running(script) as run:
        visitor = await run.visitor()
        visitor.say(GET)
        assert await visitor.head() == (200, [(b"transfer-encoding", b"chunked")])
        assert await visitor.bytes(8) == b"3\r\none\r\n"
        proceed.set()
        assert await visitor.bytes(13) == b"3\r\ntwo\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("headers", "rest"), [((), b"4\r\npart\r\n"), ((b"content-length", b"10"), b"part")], ids=["chunked", "length"]
)
async def test_response_cut_short_is_aborted_and_never_ended(
    headers: tuple[bytes, ...], rest: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def script(stream: Stream) -> None:
        await stream.send(HttpResponse(200, headers, b"part"))
        raise SessionError(ErrorCode.PEER_LOST)

    async with running(script) as run:
        visitor = await run.visitor()
        visitor.say(GET)
        await visitor.head()
        assert await visitor.rest() == rest
    assert caplog.text == ""


# Uploads


async def test_expected_body_is_asked_for_only_when_the_target_reads() -> None:
    proceed = anyio.Event()

    async def script(stream: Stream) -> None:
        await proceed.wait()
        await echo(stream)

    target = Target(script)
    async with running(target) as run:
        visitor = await run.visitor()
        visitor.say(b"POST / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        await within(target.entered.wait())
        assert (target.head.end, b"expect" in target.head.headers) == (False, True)
        assert visitor.reader._buffer == b""  # type: ignore[attr-defined]
        proceed.set()
        assert await visitor.head() == (100, [])
        visitor.say(b"abc")
        assert (await visitor.response())[2] == b"abc"

        visitor.say(GET)
        assert (await visitor.response())[0] == 200


async def test_expectation_that_comes_with_its_body_is_not_passed_on() -> None:
    target = Target(echo)
    async with running(target) as run:
        visitor = await run.visitor()
        visitor.say(b"POST / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc")
        assert (await visitor.response())[2] == b"abc"
    assert (target.head.body, b"expect" in target.head.headers) == (b"abc", False)


@pytest.mark.parametrize("value", [b"miracles", b"200-ok"])
async def test_expectation_that_nobody_knows_is_disregarded(value: bytes) -> None:
    target = Target(echo)
    async with running(target) as run:
        visitor = await run.visitor()
        visitor.say(b"POST / HTTP/1.1\r\nHost: a.test\r\nExpect: %b\r\nContent-Length: 3\r\n\r\n" % value)
        await within(target.entered.wait())
        assert b"expect" not in target.head.headers
        visitor.say(b"abc")
        assert (await visitor.response())[2] == b"abc"


async def test_expected_body_that_was_not_asked_for_closes_the_connection() -> None:
    async with running(hello) as run:
        visitor = await run.visitor()
        visitor.say(b"POST / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        status, headers, _ = await visitor.response()
        assert (status, headers[b"connection"]) == (200, b"close")
        assert await visitor.rest() == b""


async def test_body_over_the_limit_is_413_and_the_next_connection_is_served() -> None:
    async with running(echo, max_body_bytes=10) as run:
        visitor = await run.visitor()
        visitor.say(b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 11\r\n\r\n")
        status, headers, body = await visitor.response()
        assert (status, headers[b"connection"], json.loads(body)["code"]) == (413, b"close", "too_large")

        visitor = await run.visitor()
        visitor.say(CHUNKED_POST + b"b\r\nhello world\r\n")
        assert (await visitor.response())[0] == 413

        visitor = await run.visitor()
        visitor.say(GET)
        assert (await visitor.response())[0] == 200


async def test_visitor_still_uploading_gets_the_early_answer() -> None:
    size = 16 * 2**20
    async with running(hello) as run:
        visitor = await run.visitor()
        visitor.say(b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: %d\r\n\r\n" % size)
        visitor.say(b"x" * size)
        assert (await visitor.response())[2] == b"hello"
        assert await visitor.rest() == b""


async def test_unwanted_upload_is_not_taken_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingress_lingering, "_LINGER_S", 0.0)
    async with running(hello) as run:
        visitor = await run.visitor()
        visitor.say(b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100\r\n\r\n")
        await visitor.response()
        await visitor.rest()
        await run.forgotten()


async def test_response_may_stream_while_the_request_does() -> None:
    async def script(stream: Stream) -> None:
        await stream.send(HttpResponse(200))
        while True:
            chunk = await stream.receive()
            assert isinstance(chunk, BodyChunk)
            await stream.send(chunk)
            if chunk.end:
                return

    async with running(script) as run:
        visitor = await run.visitor()
        visitor.say(CHUNKED_POST)
        assert (await visitor.head())[0] == 200
        visitor.say(b"3\r\none\r\n")
        assert await visitor.bytes(8) == b"3\r\none\r\n"
        visitor.say(b"3\r\ntwo\r\n")
        assert await visitor.bytes(8) == b"3\r\ntwo\r\n"
        visitor.say(b"0\r\n\r\n")
        assert await visitor.rest() == b"0\r\n\r\n"


# What is no request


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00",
        b"GET /\xff HTTP/1.1\r\nHost: a.test\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a.test\r\nbad field\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\nHost: a.test\n\n",
        b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\n\r\n",
    ],
)
async def test_malformed_request_gets_a_problem_and_the_connection_is_closed(garbage: bytes) -> None:
    async with running(hello) as run:
        visitor = await run.visitor()
        visitor.say(garbage)
        status, headers, body = await visitor.response()
        assert (status, headers[b"content-type"], headers[b"connection"]) == (
            400,
            b"application/problem+json",
            b"close",
        )
        assert json.loads(body)["code"] == "bad_request"
        assert await visitor.rest() == b""


async def test_garbage_behind_requests_waits_for_their_answers() -> None:
    proceed = anyio.Event()
    paths: list[bytes] = []

    async def script(stream: Stream) -> None:
        assert isinstance(stream.head, HttpRequest)
        paths.append(stream.head.path)
        await proceed.wait()
        await tell_path(stream)

    async with running(script) as run:
        visitor = await run.visitor()
        visitor.say(b"GET /1 HTTP/1.1\r\nHost: a.test\r\n\r\nGET /2 HTTP/1.1\r\nHost: a.test\r\n\r\n" + b"\x00\x00")
        proceed.set()
        assert (await visitor.response())[2] == b"/1"
        assert (await visitor.response())[2] == b"/2"
        assert await visitor.rest() == b""
    assert paths == [b"/1", b"/2"]


async def test_malformed_body_behind_a_request_is_forgotten() -> None:
    async with running(tell_path) as run:
        visitor = await run.visitor()
        visitor.say(b"GET /1 HTTP/1.1\r\nHost: a.test\r\n\r\n" + CHUNKED_POST + b"zz\r\n")
        assert (await visitor.response())[2] == b"/1"
        assert await visitor.rest() == b""


async def test_malformed_body_is_400_and_cancels_the_target() -> None:
    target = Target(echo)
    async with running(target) as run:
        visitor = await run.visitor()
        visitor.say(CHUNKED_POST)
        await within(target.entered.wait())
        visitor.say(b"zz\r\n")
        assert (await visitor.response())[0] == 400
        await within(target.cancelled.wait())


async def test_malformed_body_after_the_response_began_cuts_it_short() -> None:
    async def script(stream: Stream) -> None:
        await stream.send(HttpResponse(200, (), b"part"))
        await echo(stream)

    target = Target(script)
    async with running(target) as run:
        visitor = await run.visitor()
        visitor.say(CHUNKED_POST)
        await visitor.head()
        visitor.say(b"zz\r\n")
        assert await visitor.rest() == b"4\r\npart\r\n"
        await within(target.cancelled.wait())


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: a.test\r\nx: " + b"y" * 2000 + b"\r\n\r\n",
        b"GET /" + b"y" * 2000 + b" HTTP/1.1\r\nHost: a.test\r\n\r\n",
    ],
    ids=["field", "path"],
)
async def test_large_head_is_431(head: bytes) -> None:
    async with running(hello, max_header_bytes=1000) as run:
        visitor = await run.visitor()
        visitor.say(head)
        status, _, body = await visitor.response()
        assert (status, json.loads(body)["code"]) == (431, "too_large")


async def test_head_that_does_not_end_is_431() -> None:
    async with running(hello, max_header_bytes=1000) as run:
        visitor = await run.visitor()
        visitor.say(b"GET / HTTP/1.1\r\nHost: a.test\r\nx: ")
        visitor.say(b"y" * 2**20)
        assert (await visitor.response())[0] == 431


# What follows the head


@pytest.mark.parametrize("apart", [False, True], ids=["same packet", "later packet"])
async def test_trailers_are_not_taken_for_headers(*, apart: bool) -> None:
    target = Target(echo)
    async with running(target) as run:
        visitor = await run.visitor()
        head, trailers = CHUNKED_POST + b"3\r\none\r\n", b"0\r\nx-admin: yes\r\nHost: b.test\r\n\r\n"
        if apart:
            visitor.say(head)
            await within(target.entered.wait())
            visitor.say(trailers)
        else:
            visitor.say(head + trailers)
        assert (await visitor.response())[2] == b"one"
        visitor.say(GET)
        assert (await visitor.response())[0] == 200
    for received in target.heads:
        names = received.headers[::2]
        assert (b"x-admin" in names, names.count(b"host")) == (False, 1)


@pytest.mark.parametrize(
    ("start", "more"),
    [(b"0\r\nx: ", b"y" * 500), (b"0\r\n", b"x: y\r\n" * 100), (b"1;x=", b"y" * 500)],
    ids=["value", "fields", "extension"],
)
async def test_endless_trailers_are_431(start: bytes, more: bytes) -> None:
    target = Target(echo)
    async with running(target, max_header_bytes=1000) as run:
        visitor = await run.visitor()
        visitor.say(CHUNKED_POST)
        await within(target.entered.wait())
        connection = run.connection()
        for read in (start, more, more, more):
            connection.data_received(read)
        status, headers, body = await visitor.response()
        assert (status, headers[b"connection"], json.loads(body)["code"]) == (431, b"close", "too_large")
        await within(target.cancelled.wait())


async def test_chunk_headers_of_a_long_upload_do_not_add_up() -> None:
    chunks = 100
    received = 0
    proceed = anyio.Event()

    async def script(stream: Stream) -> None:
        nonlocal received, proceed
        end = False
        while not end:
            chunk = await stream.receive()
            assert isinstance(chunk, BodyChunk)
            received, end = received + len(chunk.data), chunk.end
            proceed.set()
        await hello(stream)

    target = Target(script)
    async with running(target, max_header_bytes=200) as run:
        visitor = await run.visitor()
        visitor.say(CHUNKED_POST)
        await within(target.entered.wait())
        for _ in range(chunks):
            proceed = anyio.Event()
            visitor.say(b"1;name=value\r\n")
            await asyncio.sleep(0)
            visitor.say(b"x\r\n")
            await within(proceed.wait())
        visitor.say(b"0\r\n\r\n")
        assert (await visitor.response())[2] == b"hello"
    assert received == chunks


async def test_other_transfer_codings_are_501() -> None:
    target = Target(hello)
    async with running(target) as run:
        visitor = await run.visitor()
        visitor.say(b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n")
        status, headers, _ = await visitor.response()
        assert (status, headers[b"content-type"]) == (501, b"application/problem+json")
    assert target.heads == []


# Heads that do not come


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> HandClock:
    return HandClock.of_connections(monkeypatch)


HEAD_S = IngressProtocol.head_timeout_s
KEEPALIVE_S = ingress_uvicorn._KEEPALIVE_S


class Heard:
    """How much visitors have said that the server has read."""

    size = 0

    async def reaches(self, size: int) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while self.size < size:  # noqa: ASYNC110
                await asyncio.sleep(0)


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Heard:
    heard = Heard()
    receive = IngressProtocol.data_received

    def data_received(connection: IngressProtocol, data: bytes) -> None:
        receive(connection, data)
        heard.size += len(data)

    monkeypatch.setattr(IngressProtocol, "data_received", data_received)
    return heard


@pytest.mark.parametrize("said", [b"", b"\r\n"], ids=["nothing", "blank line"])
async def test_visitor_that_says_nothing_is_let_go(said: bytes, clock: HandClock, heard: Heard) -> None:
    async with running(hello) as run:
        visitor = await run.visitor()
        visitor.say(said)
        await heard.reaches(len(said))
        async with asyncio.timeout(DEADLINE_S):
            while not run.connections():  # noqa: ASYNC110
                await asyncio.sleep(0)
        clock.pass_time(HEAD_S)
        assert await visitor.rest() == b""


@pytest.mark.parametrize("before", [0, 2], ids=["first", "later"])
async def test_half_a_head_is_408(before: int, clock: HandClock, heard: Heard) -> None:
    async with running(hello) as run:
        visitor = await run.visitor()
        for _ in range(before):
            visitor.say(GET)
            await visitor.response()
        visitor.say(GET[:10])
        await heard.reaches(before * len(GET) + 10)
        clock.pass_time(HEAD_S)
        status, headers, body = await visitor.response()
        assert (status, headers[b"content-type"], headers[b"connection"]) == (
            408,
            b"application/problem+json",
            b"close",
        )
        assert json.loads(body)["status"] == 408
        assert await visitor.rest() == b""


async def test_blank_line_after_an_answer_is_no_way_to_stay(clock: HandClock, heard: Heard) -> None:
    async with running(hello) as run:
        visitor = await run.visitor()
        visitor.say(GET)
        await visitor.response()
        clock.pass_time(KEEPALIVE_S / 2)
        visitor.say(b"\r\n")
        await heard.reaches(len(GET) + 2)
        clock.pass_time(KEEPALIVE_S / 2)
        assert await visitor.rest() == b""


async def test_dripping_a_head_does_not_extend_its_time(clock: HandClock, heard: Heard) -> None:
    async with running(hello) as run:
        visitor = await run.visitor()
        said = 0
        for drop in (GET[:-2] + b"x: ", b"y", b"y", b"y"):
            visitor.say(drop)
            said += len(drop)
            await heard.reaches(said)
            clock.pass_time(HEAD_S / 4)
        assert (await visitor.response())[0] == 408


async def test_half_a_head_behind_a_request_waits_for_its_answer(clock: HandClock, heard: Heard) -> None:
    proceed = anyio.Event()

    async def script(stream: Stream) -> None:
        await proceed.wait()
        await hello(stream)

    async with running(script) as run:
        visitor = await run.visitor()
        visitor.say(GET + GET[:10])
        await heard.reaches(len(GET) + 10)
        clock.pass_time(HEAD_S)
        proceed.set()
        assert (await visitor.response())[2] == b"hello"
        assert await visitor.rest() == b""


async def test_head_that_came_has_no_deadline(clock: HandClock, heard: Heard) -> None:
    async def script(stream: Stream) -> None:
        clock.pass_time(max(HEAD_S, KEEPALIVE_S))
        await hello(stream)

    async with running(script) as run:
        visitor = await run.visitor()
        visitor.say(GET[:10])
        await heard.reaches(10)
        visitor.say(GET[10:])
        assert (await visitor.response())[2] == b"hello"
        visitor.say(GET)
        assert (await visitor.response())[2] == b"hello"


# Visitors that leave


async def test_visitor_leaving_before_the_answer_cancels_the_target() -> None:
    target = Target(forever)
    async with running(target) as run:
        visitor = await run.visitor()
        visitor.say(GET)
        await within(target.entered.wait())
        visitor.leave()
        await within(target.cancelled.wait())


async def test_visitor_leaving_during_the_answer_cancels_the_target() -> None:
    async def script(stream: Stream) -> None:
        await stream.send(HttpResponse(200, (), b"part"))
        await anyio.sleep_forever()

    target = Target(script)
    async with running(target) as run:
        visitor = await run.visitor()
        visitor.say(GET)
        await visitor.head()
        visitor.leave()
        await within(target.cancelled.wait())


async def test_visitor_leaving_while_it_does_not_read_cancels_the_target() -> None:
    async def script(stream: Stream) -> None:
        await stream.send(HttpResponse(200))
        while True:
            await stream.send(BodyChunk(b"x" * 65536))

    target = Target(script)
    async with running(target) as run:
        visitor = await run.visitor(limit=1024)
        visitor.say(GET)
        await visitor.head()
        visitor.leave()
        await within(target.cancelled.wait())


async def test_visitor_leaving_during_the_upload_cancels_the_target() -> None:
    target = Target(echo)
    async with running(target) as run:
        visitor = await run.visitor()
        visitor.say(CHUNKED_POST + b"3\r\nabc\r\n")
        await within(target.entered.wait())
        visitor.leave()
        await within(target.cancelled.wait())


# Serving


async def test_serving_leaves_signals_alone() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    async with running(hello):
        assert {number: signal.getsignal(number) for number in before} == before


async def test_serving_leaves_logging_alone() -> None:
    access = logging.getLogger("uvicorn.access")
    before = (list(access.handlers), access.propagate, access.level)
    async with running(hello):
        assert (access.handlers, access.propagate, access.level) == before


async def test_drain_lets_exchanges_finish_and_accepts_no_more() -> None:
    proceed = anyio.Event()

    async def script(stream: Stream) -> None:
        await proceed.wait()
        await hello(stream)

    target = Target(script)
    async with running(target) as run:
        idle = await run.visitor()
        busy = await run.visitor()
        busy.say(GET)
        await within(target.entered.wait())
        run.ingress.drain(DEADLINE_S)
        assert await idle.rest() == b""
        with pytest.raises(ConnectionRefusedError):
            await run.visitor()
        assert not run.serving.done()

        proceed.set()
        status, headers, body = await busy.response()
        assert (status, headers[b"connection"], body) == (200, b"close", b"hello")
        await run.served()


async def test_nobody_is_accepted_from_the_moment_it_is_drained() -> None:
    async with running(hello) as run:
        host, _, port = run.ingress.address.rpartition(":")
        run.ingress.drain(DEADLINE_S)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((host, int(port)))  # at once: the event loop has no turn in between


async def test_what_does_not_finish_in_its_grace_is_cut() -> None:
    async def script(stream: Stream) -> None:
        await stream.send(HttpResponse(200, (), b"part"))
        await anyio.sleep_forever()

    target = Target(script)
    async with running(target) as run:
        visitor = await run.visitor()
        visitor.say(GET)
        await visitor.head()
        run.ingress.drain(0)
        await run.served()
        assert target.cancelled.is_set()
        assert await visitor.rest() == b"4\r\npart\r\n"


async def test_second_drain_shortens_the_first() -> None:
    target = Target(forever)
    async with running(target) as run:
        visitor = await run.visitor()
        visitor.say(GET)
        await within(target.entered.wait())
        run.ingress.drain(3600)
        assert not run.serving.done()
        run.ingress.drain(0)
        await run.served()
        assert target.cancelled.is_set()


async def test_cancelled_serving_closes_everything_at_once() -> None:
    target = Target(forever)
    async with running(target) as run:
        idle, busy = await run.visitor(), await run.visitor()
        busy.say(GET)
        await within(target.entered.wait())
        run.serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run.served()
        assert target.cancelled.is_set()
        with contextlib.suppress(ConnectionError):
            assert await idle.rest() == b""
        with contextlib.suppress(ConnectionError):
            assert await busy.rest() == b""
        with pytest.raises(ConnectionRefusedError):
            await run.visitor()


async def test_target_still_busy_after_its_answer_is_cancelled_with_the_serving() -> None:
    async def script(stream: Stream) -> None:
        await hello(stream)
        await anyio.sleep_forever()

    target = Target(script)
    async with running(target) as run:
        visitor = await run.visitor()
        visitor.say(GET)
        await visitor.response()
        visitor.leave()
        await run.forgotten()
        assert not target.cancelled.is_set()
        run.ingress.drain(0)
        await run.served()
        assert target.cancelled.is_set()


async def test_serving_in_a_cancelled_scope_closes_everything() -> None:
    target = Target(forever)
    ingress = UvicornIngress("127.0.0.1:0")
    async with anyio.create_task_group() as tasks:
        started = anyio.Event()
        tasks.start_soon(ingress.serve, target, started.set)
        await within(started.wait())
        host, port = ingress.address.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(GET)
        await within(target.entered.wait())
        tasks.cancel_scope.cancel()
    assert target.cancelled.is_set()
    with contextlib.suppress(ConnectionError):
        assert await reader.read() == b""
    writer.close()


async def test_target_deaf_to_cancellation_does_not_hold_the_listener(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ingress_uvicorn, "_RELEASE_S", 0.01)
    release = asyncio.Event()

    async def script(stream: Stream) -> None:
        with anyio.CancelScope(shield=True):
            while not release.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await release.wait()

    target = Target(script)
    async with running(target) as run:
        visitor = await run.visitor()
        visitor.say(GET)
        await within(target.entered.wait())
        run.ingress.drain(0)
        await run.served()
        release.set()
        server = run.ingress._server
        assert server is not None
        await within(asyncio.wait(server.server_state.tasks or {asyncio.ensure_future(asyncio.sleep(0))}))
    assert "do not return" in caplog.text


async def test_drain_before_serving_gives_the_address_back() -> None:
    ingress = UvicornIngress("127.0.0.1:0")
    ingress.bind()
    other = UvicornIngress(ingress.address)
    ingress.drain(0)
    await ingress.serve(Target(hello), lambda: pytest.fail("started"))
    other.bind()
    other.drain(0)


# Addresses


async def test_address_tells_the_real_port_and_name() -> None:
    ingress = UvicornIngress("127.0.0.1:0", name="entry")
    assert (ingress.name, ingress.address) == ("entry", "127.0.0.1:0")
    ingress.bind()
    host, port = ingress.address.split(":")
    assert host == "127.0.0.1"
    assert int(port) > 0
    ingress.drain(0)


async def test_name_prefers_ipv4() -> None:
    ingress = UvicornIngress("localhost:0")
    ingress.bind()
    assert ingress.address.startswith("127.0.0.1:")
    ingress.drain(0)


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
async def test_ipv6_address_is_in_brackets() -> None:
    try:
        async with running(hello, listen="[::1]:0") as run:
            assert run.ingress.address.startswith("[::1]:")
            visitor = await run.visitor()
            visitor.say(GET)
            assert (await visitor.response())[0] == 200
    except ListenError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("listen", ["127.0.0.1", "nonsense", "::1:80", "127.0.0.1:http", "127.0.0.1:99999", ":-1"])
async def test_wrong_address_is_a_listen_error(listen: str) -> None:
    with pytest.raises(ListenError, match="cannot listen on"):
        UvicornIngress(listen).bind()


async def test_taken_address_is_a_listen_error() -> None:
    first = UvicornIngress("127.0.0.1:0")
    first.bind()
    with pytest.raises(ListenError, match="in use"):
        UvicornIngress(first.address).bind()
    first.drain(0)


# -- other settings


async def test_other_settings_are_followed_from_the_next_request_on_open_connections_too() -> None:
    post = b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 20\r\n%b\r\n" + b"x" * 20
    async with running(echo, max_body_bytes=10) as run:
        refused, kept = await run.visitor(), await run.visitor()
        refused.say(post % b"")
        assert (await refused.response())[0] == 413
        kept.say(GET)
        assert (await kept.response())[0] == 200
        settings = IngressSettings(max_body_bytes=20, max_header_bytes=1000)
        run.ingress.follow(UvicornIngress("127.0.0.1:0", settings=settings))
        kept.say(post % b"")
        assert (await kept.response())[0] == 200
        kept.say(post % (b"X-Long: " + b"y" * 2000 + b"\r\n"))
        assert (await kept.response())[0] == 431
