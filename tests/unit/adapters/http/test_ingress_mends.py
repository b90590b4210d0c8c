"""What our own listener does with bytes that an ASGI server would not, or not so: framing, targets, trailers."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable

import anyio
import pytest
from ingress_kit import DEADLINE_S, Target
from listener_kit import CHUNKED_POST, GET, echo, hello, running, tell_path, within

from tunnel.domain.envelopes import BodyChunk, HttpRequest, HttpResponse, SessionPayload, Trailers
from tunnel.ports.target import Stream

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    if request.param:
        pytest.importorskip("uvloop")
    return "asyncio", {"use_uvloop": request.param}


def sending(*payloads: SessionPayload) -> Target:
    async def script(stream: Stream) -> None:
        for payload in payloads:
            await stream.send(payload)

    return Target(script)


def receiving() -> tuple[Target, list[SessionPayload]]:
    """A target that answers once it has all of the request, and what it received after the head."""
    received: list[SessionPayload] = []

    async def script(stream: Stream) -> None:
        end = stream.head.end  # type: ignore[union-attr]
        while not end:
            received.append(await stream.receive())
            end = received[-1].end
        await hello(stream)

    return Target(script), received


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0)


STREAMED = (HttpResponse(200), BodyChunk(b"one"), BodyChunk(b"two"), BodyChunk(b"", end=True))


# HTTP/1.0


async def test_http10_gets_no_chunks_and_the_end_of_the_connection_ends_its_body() -> None:
    async with running(sending(*STREAMED)) as run:
        visitor = await run.visitor()
        visitor.say(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert await visitor.rest() == b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nonetwo"


async def test_response_to_http10_that_is_cut_short_is_reset() -> None:
    target = sending(HttpResponse(200, (), b"part"), HttpResponse(500))
    async with running(target) as run:
        visitor = await run.visitor()
        visitor.say(b"GET / HTTP/1.0\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            await visitor.rest()


async def test_http10_is_kept_where_it_asks_for_it_and_the_length_is_known() -> None:
    async with running(tell_path) as run:
        visitor = await run.visitor()
        for path in (b"/1", b"/2"):
            visitor.say(b"GET " + path + b" HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n")
            status, headers, body = await visitor.response()
            assert (status, headers[b"connection"], body) == (200, b"keep-alive", path)
        visitor.say(b"GET /3 HTTP/1.0\r\n\r\n")
        status, headers, body = await visitor.response()
        assert (status, headers[b"connection"], body) == (200, b"close", b"/3")
        assert await visitor.rest() == b""


async def test_http10_with_a_transfer_coding_is_refused() -> None:
    target = Target(hello)
    async with running(target) as run:
        visitor = await run.visitor()
        visitor.say(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        status, headers, _ = await visitor.response()
        assert (status, headers[b"connection"]) == (400, b"close")
    assert target.heads == []


async def test_http10_is_never_told_to_continue() -> None:
    target, received = receiving()
    async with running(target) as run:
        visitor = await run.visitor()
        visitor.say(b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        await within(target.entered.wait())
        visitor.say(b"abc")
        assert (await visitor.response())[0] == 200
    assert received == [BodyChunk(b"abc", end=True)]


@pytest.mark.parametrize("version", [b"HTTP/2.0", b"HTTP/0.9"])
async def test_other_versions_are_505(version: bytes) -> None:
    async with running(hello) as run:
        visitor = await run.visitor()
        visitor.say(b"GET / " + version + b"\r\nHost: a.test\r\n\r\n")
        status, headers, body = await visitor.response()
        assert (status, headers[b"connection"], json.loads(body)["status"]) == (505, b"close", 505)


# Request targets


async def test_host_of_a_url_takes_the_place_of_the_host_field() -> None:
    target = Target(hello)
    async with running(target) as run:
        visitor = await run.visitor()
        visitor.say(b"GET http://b.test:81/x?y HTTP/1.1\r\nA: 1\r\nHost: a.test\r\nB: 2\r\n\r\n")
        assert (await visitor.response())[0] == 200
    head = target.head
    assert (head.url, head.host, head.path, head.query) == (b"http://b.test:81/x?y", b"b.test:81", b"/x", b"y")
    assert head.headers[:6] == (b"a", b"1", b"host", b"b.test:81", b"b", b"2")
    assert dict(zip(head.headers[::2], head.headers[1::2], strict=True))[b"x-forwarded-host"] == b"b.test:81"


async def test_url_does_not_make_up_for_a_missing_host() -> None:
    target = Target(hello)
    async with running(target) as run:
        visitor = await run.visitor()
        visitor.say(b"GET http://b.test/ HTTP/1.1\r\n\r\n")
        assert (await visitor.response())[0] == 400
    assert target.heads == []


async def test_empty_query_is_told_from_none() -> None:
    target = Target(hello)
    async with running(target) as run:
        visitor = await run.visitor()
        visitor.say(b"GET /a? HTTP/1.1\r\nHost: a.test\r\n\r\n" + b"GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n")
        for _ in range(2):
            await visitor.response()
    assert [(head.path, head.query) for head in target.heads] == [(b"/a", b""), (b"/a", None)]


async def test_options_of_the_whole_server_is_forwarded() -> None:
    target = Target(hello)
    async with running(target) as run:
        visitor = await run.visitor()
        visitor.say(b"OPTIONS * HTTP/1.1\r\nHost: a.test\r\n\r\n")
        assert (await visitor.response())[0] == 200
    assert target.head.path == b"*"


# Trailers


@pytest.mark.parametrize("apart", [False, True], ids=["same packet", "later packet"])
async def test_request_trailers_follow_the_body(*, apart: bool) -> None:
    target, received = receiving()
    async with running(target) as run:
        visitor = await run.visitor()
        head, rest = CHUNKED_POST, b"3\r\none\r\n0\r\nX-Sum: 1\r\nHost: b.test\r\nx-sum: 2\r\n\r\n"
        if apart:
            visitor.say(head)
            await within(target.entered.wait())
            visitor.say(rest)
        else:
            visitor.say(head + rest)
        assert (await visitor.response())[0] == 200
        visitor.say(GET)
        assert (await visitor.response())[0] == 200
    body = target.heads[0].body + b"".join(part.data for part in received if isinstance(part, BodyChunk))
    assert body == b"one"
    assert received[-1] == Trailers((b"x-sum", b"1", b"x-sum", b"2"))
    assert b"x-sum" not in target.heads[0].headers


async def test_too_many_trailers_are_431() -> None:
    target = Target(echo)
    async with running(target, max_headers=3) as run:
        visitor = await run.visitor()
        visitor.say(CHUNKED_POST + b"3\r\none\r\n0\r\n" + b"x: y\r\n" * 4 + b"\r\n")
        status, headers, body = await visitor.response()
        assert (status, headers[b"connection"], json.loads(body)["code"]) == (431, b"close", "too_large")


async def test_response_trailers_follow_the_last_chunk() -> None:
    trailers = Trailers((b"x-sum", b"1", b"content-length", b"9", b"set-cookie", b"a=b", b"connection", b"x"))
    async with running(sending(HttpResponse(200), BodyChunk(b"one"), trailers)) as run:
        visitor = await run.visitor()
        visitor.say(b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
        await visitor.head()
        assert await visitor.rest() == b"3\r\none\r\n0\r\nx-sum: 1\r\n\r\n"


@pytest.mark.parametrize(
    ("request_line", "headers"),
    [(b"GET / HTTP/1.0", ()), (b"GET / HTTP/1.1", (b"content-length", b"3"))],
    ids=["HTTP/1.0", "length"],
)
async def test_response_trailers_are_left_out_where_there_are_no_chunks(
    request_line: bytes, headers: tuple[bytes, ...]
) -> None:
    async with running(sending(HttpResponse(200, headers), BodyChunk(b"one"), Trailers((b"x", b"1")))) as run:
        visitor = await run.visitor()
        visitor.say(request_line + b"\r\nHost: a.test\r\nConnection: close\r\n\r\n")
        await visitor.head()
        assert await visitor.rest() == b"one"


async def test_malformed_response_trailer_cuts_the_response_short() -> None:
    async with running(sending(HttpResponse(200), BodyChunk(b"one"), Trailers((b"x", b"1\r\n2")))) as run:
        visitor = await run.visitor()
        visitor.say(GET)
        await visitor.head()
        assert await visitor.rest() == b"3\r\none\r\n"


# Answers


async def test_informational_responses_are_dropped() -> None:
    answer = HttpResponse(200, (), b"hello", end=True)
    async with running(sending(HttpResponse(102), HttpResponse(103, (b"link", b"</x>")), answer)) as run:
        visitor = await run.visitor()
        visitor.say(GET)
        assert (await visitor.response())[::2] == (200, b"hello")


async def test_whole_response_and_its_head_leave_in_one_piece() -> None:
    async with running(hello) as run:
        visitor = await run.visitor()
        written: list[bytes] = []
        await asyncio.sleep(0)
        await until(run.connections)
        connection = run.connection()
        write, connection.write = connection.write, written.append  # type: ignore[method-assign]
        visitor.say(GET)
        await until(lambda: written)
        assert written == [b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"]
        connection.write = write  # type: ignore[method-assign]


async def test_body_that_comes_unasked_is_not_asked_for() -> None:
    target, received = receiving()
    proceed = anyio.Event()
    inner = target._script

    async def script(stream: Stream) -> None:
        await proceed.wait()
        await inner(stream)

    target._script = script
    async with running(target) as run:
        visitor = await run.visitor()
        visitor.say(b"POST / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        await within(target.entered.wait())
        visitor.say(b"abc")
        connection = run.connection()
        await until(lambda: connection._pipeline.running is not None and connection._pipeline.running.uploaded)
        proceed.set()
        assert (await visitor.head())[0] == 200
    assert received == [BodyChunk(b"abc", end=True)]


@pytest.mark.parametrize("size", [1, 65_536, 65_537, 300_000])
async def test_upload_that_is_answered_leaves_the_connection_usable(size: int) -> None:
    async with running(echo) as run:
        visitor = await run.visitor(limit=2**20)
        for _ in range(2):
            visitor.say(b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
            assert (await visitor.response())[2] == b"x" * size


async def test_blanks_around_values_are_left_out() -> None:
    target = Target(hello)
    async with running(target) as run:
        visitor = await run.visitor()
        visitor.say(b"GET / HTTP/1.1\r\nHost: a.test\r\nX: \t inner \t blanks \t\r\n\r\n")
        await visitor.response()
    assert target.head.headers[2:4] == (b"x", b"inner \t blanks")


async def test_body_behind_a_slow_request_is_whole() -> None:
    proceed = anyio.Event()

    async def script(stream: Stream) -> None:
        assert isinstance(stream.head, HttpRequest)
        if stream.head.method == "GET":
            await proceed.wait()
        await echo(stream)

    async with running(script) as run:
        visitor = await run.visitor()
        visitor.say(GET + b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 6\r\n\r\none")
        await until(lambda: run.connections() and run.connection()._pipeline.waiting)
        proceed.set()
        assert (await visitor.response())[0] == 200
        visitor.say(b"two")
        assert (await visitor.response())[2] == b"onetwo"


async def test_target_that_stays_with_its_answer_does_not_hold_the_next_request() -> None:
    async def script(stream: Stream) -> None:
        await tell_path(stream)
        assert isinstance(stream.head, HttpRequest)
        if stream.head.path == b"/1":
            await anyio.sleep_forever()

    async with running(script) as run:
        visitor = await run.visitor()
        visitor.say(b"GET /1 HTTP/1.1\r\nHost: a.test\r\n\r\nGET /2 HTTP/1.1\r\nHost: a.test\r\n\r\n")
        assert [(await visitor.response())[2] for _ in range(2)] == [b"/1", b"/2"]
        visitor.say(b"GET /3 HTTP/1.1\r\nHost: a.test\r\n\r\n")
        assert (await visitor.response())[2] == b"/3"


async def test_requests_one_after_another_have_one_task() -> None:
    tasks: set[object] = set()

    async def script(stream: Stream) -> None:
        tasks.add(asyncio.current_task())
        await hello(stream)

    async with running(script) as run:
        visitor = await run.visitor()
        for _ in range(3):
            visitor.say(GET)
            await visitor.response()
    assert len(tasks) == 1


async def test_large_upload_arrives_whole_however_the_target_reads() -> None:
    size = 3 * 2**20
    received = 0

    async def script(stream: Stream) -> None:
        nonlocal received
        assert isinstance(stream.head, HttpRequest)
        received, end = len(stream.head.body), False
        while not end:
            chunk = await stream.receive()
            assert isinstance(chunk, BodyChunk)
            received, end = received + len(chunk.data), chunk.end
            for _ in range(3):
                await asyncio.sleep(0)
        await hello(stream)

    async with running(script) as run:
        visitor = await run.visitor()
        visitor.say(b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: %d\r\n\r\n" % size)
        with contextlib.suppress(ConnectionError):
            visitor.say(b"x" * size)
        assert (await visitor.response())[0] == 200
    assert received == size
