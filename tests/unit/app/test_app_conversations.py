"""Conversations from a visitor through server and client to an upstream, and how they fail."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import pytest
from support.app_kit import FakeStream, FakeUpstream, World, ask, echo, until

from tunnel.domain.envelopes import BodyChunk, HttpRequest, HttpResponse, Trailers
from tunnel.domain.errors import ErrorCode, SendingStopped, SessionError
from tunnel.domain.limits import KIB, MIB
from tunnel.ports.target import Stream

pytestmark = pytest.mark.anyio

GET = HttpRequest("GET", b"/", host=b"app.test", headers=(b"host", b"app.test"), end=True)
POST = HttpRequest("POST", b"/", host=b"app.test", headers=(b"host", b"app.test"))


def chunks(total_bytes: int, size_bytes: int) -> list[BodyChunk]:
    """A body of counted bytes."""
    data = (bytes(range(251)) * (total_bytes // 251 + 1))[:total_bytes]
    pieces = [data[start : start + size_bytes] for start in range(0, total_bytes, size_bytes)]
    return [BodyChunk(piece, end=piece is pieces[-1]) for piece in pieces]


async def test_a_request_reaches_the_upstream_and_its_answer_the_visitor(world: World) -> None:
    upstream = FakeUpstream()
    async with world.pair(upstream) as server:
        answer = await ask(server, "/a", b"hello", headers=[(b"x-twice", b"1"), (b"x-twice", b"2")])
    (head,) = upstream.heads
    assert (head.method, head.path, head.body) == ("POST", b"/a", b"hello")
    assert (answer.status, answer.body, answer.complete) == (200, b"hello", True)
    assert [value for name, value in answer.headers if name == b"x-twice"] == [b"1", b"2"]


async def test_bodies_stream_both_ways_at_once(world: World) -> None:
    """The upstream answers each chunk before the next one is sent."""
    async with world.pair() as server:
        stream = FakeStream(POST)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server._target.handle, stream)
            for number in range(20):
                stream.feed(BodyChunk(b"%d" % number, end=number == 19))
                await until(lambda number=number: stream.body.endswith(b"%d" % number))
    assert b"".join(b"%d" % number for number in range(20)) == stream.body
    assert stream.ended


async def test_large_bodies_arrive_whole_both_ways(world: World) -> None:
    body = chunks(3 * MIB, 100_000)
    stream = FakeStream(POST, body)
    async with world.pair() as server:
        await server._target.handle(stream)
    assert b"".join(each.data for each in body) == stream.body


async def test_trailers_arrive_after_the_body(world: World) -> None:
    stream = FakeStream(POST, [BodyChunk(b"body"), Trailers((b"x-sum", b"1"))])
    async with world.pair() as server:
        await server._target.handle(stream)
    assert (b"body", Trailers((b"x-sum", b"1"))) == (stream.body, stream.sent[-1])


async def test_slow_visitor_slows_the_upstream_down(world: World) -> None:
    sent = 0

    async def flood(stream: Stream) -> None:
        nonlocal sent
        await stream.send(HttpResponse(200))
        for chunk in chunks(8 * MIB, 32 * KIB):
            await stream.send(chunk)
            sent += len(chunk.data)

    stream = FakeStream(GET, room=4)
    async with (
        world.pair(flood, session_window_bytes=64 * KIB, session_window_max_bytes=64 * KIB) as server,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(server._target.handle, stream)
        await anyio.sleep(30)
        assert sent < 512 * KIB
        stream.make_room(None)
        await until(lambda: stream.ended)
    assert (len(stream.body), stream.ended) == (8 * MIB, True)


async def test_slow_upstream_slows_the_visitor_down(world: World) -> None:
    go_on = anyio.Event()
    taken = 0

    async def drain(stream: Stream) -> None:
        nonlocal taken
        await go_on.wait()
        payload = None
        while payload is None or not payload.end:
            payload = await stream.receive()
            taken += len(payload.data)
        await stream.send(HttpResponse(200, end=True))

    stream = FakeStream(POST, chunks(8 * MIB, 32 * KIB))
    async with (
        world.pair(drain, session_window_bytes=64 * KIB, session_window_max_bytes=64 * KIB) as server,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(server._target.handle, stream)
        await anyio.sleep(30)
        assert stream.received * 32 * KIB < 512 * KIB
        go_on.set()
        await until(lambda: stream.ended)
    assert (taken, stream.ended) == (8 * MIB, True)


@pytest.mark.rule("C12")
async def test_stalled_conversation_does_not_delay_another(world: World) -> None:
    async def flood(stream: Stream) -> None:
        await stream.send(HttpResponse(200))
        while True:
            await stream.send(BodyChunk(bytes(64 * KIB)))

    async def handle(stream: Stream) -> None:
        await (flood if stream.head.path == b"/flood" else echo)(stream)

    async with world.pair(handle) as server, anyio.create_task_group() as tasks:
        stalled = FakeStream(HttpRequest("GET", b"/flood", host=b"app.test", end=True), room=1)
        tasks.start_soon(server._target.handle, stalled)
        await anyio.sleep(1)
        with anyio.fail_after(0.1):
            for _ in range(50):
                assert (await ask(server, body=b"x")).body == b"x"
        tasks.cancel_scope.cancel()


@pytest.mark.rule("S9")
async def test_answer_before_the_upload_ended_stops_the_upload(world: World) -> None:
    async def refuse(stream: Stream) -> None:
        await stream.send(HttpResponse(413, body=b"too much", end=True))

    upstream = FakeUpstream(refuse)
    stream = FakeStream(POST, chunks(8 * MIB, 32 * KIB)[:-1])
    async with world.pair(upstream) as server:
        with anyio.fail_after(1):
            await server._target.handle(stream)
        assert server.clients().clients[0].in_flight == 0
    assert (stream.answer.status, stream.body) == (413, b"too much")
    assert stream.error is None


async def test_upstream_that_stops_reading_may_go_on_answering(world: World) -> None:
    """Its upload is stopped; the answer that follows, larger than a window, arrives whole."""

    async def answer(stream: Stream) -> None:
        await stream.receive()
        stream.stop_receiving("")  # type: ignore[attr-defined]
        await stream.send(HttpResponse(200))
        for chunk in chunks(2 * MIB, 64 * KIB):
            await stream.send(chunk)

    stream = FakeStream(POST, chunks(8 * MIB, 32 * KIB)[:-1])
    async with world.pair(answer) as server:
        await server._target.handle(stream)
    assert (len(stream.body), stream.ended) == (2 * MIB, True)


@pytest.mark.parametrize("size", [20_000, 40_000, 64 * KIB - 200])
async def test_large_heads_arrive_whole_both_ways(world: World, size: int) -> None:
    value = bytes(33 + index % 90 for index in range(size))
    head = HttpRequest("GET", b"/" + b"p" * 100, b"q=1", b"app.test", (b"host", b"app.test", b"x", value), end=True)
    upstream = FakeUpstream()
    stream = FakeStream(head)
    async with world.pair(upstream, session_window_bytes=16 * KIB) as server:
        await server._target.handle(stream)
        assert [head] == upstream.heads
        assert HttpResponse(200, head.headers, end=True) == stream.answer


@pytest.mark.rule("P8")
async def test_large_head_with_a_body_arrives_whole(world: World) -> None:
    head = HttpRequest("POST", b"/", None, b"app.test", (b"x", b"v" * 50_000), body=b"b" * 50_000)
    upstream = FakeUpstream()
    stream = FakeStream(head, [BodyChunk(b"tail", end=True)])
    async with world.pair(upstream) as server:
        await server._target.handle(stream)
    assert stream.body == b"b" * 50_000 + b"tail"


@pytest.mark.rule("P9")
async def test_head_beyond_the_limit_fails_that_conversation_only(world: World) -> None:
    head = HttpRequest("GET", b"/", None, b"app.test", (b"x", b"v" * 100_000), end=True)
    async with world.pair() as server:
        with pytest.raises(SessionError) as caught:
            await server._target.handle(FakeStream(head))
        assert caught.value.code is ErrorCode.TOO_LARGE
        assert (await ask(server)).status == 200


@pytest.mark.parametrize("leaves_after", ["nothing", "the head", "some body"])
async def test_leaving_visitor_cancels_the_upstream_at_once(world: World, leaves_after: str) -> None:
    async def handle(stream: Stream) -> None:
        if leaves_after != "nothing":
            await stream.send(HttpResponse(200))
        if leaves_after == "some body":
            await stream.send(BodyChunk(b"some"))
        await anyio.sleep_forever()

    upstream = FakeUpstream(handle)
    async with world.pair(upstream) as server:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server._target.handle, FakeStream(GET))
            await until(lambda: upstream.running)
            await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()
        await until(lambda: upstream.cancelled, within_s=0.1)
        assert server.clients().clients[0].in_flight == 0
        upstream.handler = echo
        assert (await ask(server)).status == 200


async def test_visitor_that_leaves_amid_an_upload_cancels_the_upstream(world: World) -> None:
    async def read(stream: Stream) -> None:
        while True:
            await stream.receive()

    upstream = FakeUpstream(read)
    async with world.pair(upstream) as server:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server._target.handle, FakeStream(POST, chunks(MIB, 32 * KIB)[:-1]))
            await until(lambda: upstream.running)
            tasks.cancel_scope.cancel()
        await until(lambda: not upstream.running, within_s=0.1)


async def test_error_before_the_answer_reaches_the_visitor_by_its_code(world: World) -> None:
    async def fail(stream: Stream) -> None:
        raise SessionError(ErrorCode.UPSTREAM_UNREACHABLE, "nobody there", detail="10.0.0.1:80")

    async with world.pair(fail) as server:
        answer = await ask(server)
        with pytest.raises(SessionError) as caught:
            await server._target.handle(FakeStream(GET))
    assert (answer.status, answer.complete) == (502, True)
    assert b"upstream_unreachable" in answer.body
    assert b"10.0.0.1" not in answer.body
    assert ErrorCode.UPSTREAM_UNREACHABLE is caught.value.code


async def test_error_amid_the_answer_leaves_it_incomplete(world: World) -> None:
    async def fail(stream: Stream) -> None:
        await stream.send(HttpResponse(200))
        await stream.send(BodyChunk(b"some"))
        raise SessionError(ErrorCode.UPSTREAM_UNREACHABLE, "gone")

    async with world.pair(fail) as server:
        answer = await ask(server)
    assert (answer.status, answer.body, answer.complete) == (200, b"some", False)


async def test_crash_of_a_handler_is_internal_and_tells_nothing(world: World, caplog: pytest.LogCaptureFixture) -> None:
    async def crash(stream: Stream) -> None:
        raise RuntimeError("a secret")

    async with world.pair(crash) as server:
        answer = await ask(server)
    assert (answer.status, b'"internal"' in answer.body) == (500, True)
    assert b"a secret" not in answer.body
    assert [record.getMessage() for record in caplog.records] == ["the handler of a conversation failed"]


async def test_handler_that_fails_while_it_is_cancelled_costs_nobody_else(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail_on_leaving(stream: Stream) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.sleep_forever)
            try:
                await anyio.sleep_forever()
            finally:
                raise RuntimeError("a bug")

    upstream = FakeUpstream(fail_on_leaving)
    async with world.pair(upstream) as server:
        with anyio.move_on_after(1):
            await server._target.handle(FakeStream(GET))
        await until(lambda: not upstream.running)
        upstream.handler = echo
        assert (await ask(server)).status == 200
    assert "a bug" in caplog.text


async def test_handler_that_returns_without_an_answer_is_internal(world: World) -> None:
    async def nothing(stream: Stream) -> None:
        await anyio.lowlevel.checkpoint()

    async with world.pair(nothing) as server:
        with pytest.raises(SessionError) as caught:
            await server._target.handle(FakeStream(GET))
    assert ErrorCode.INTERNAL is caught.value.code


async def test_request_no_rule_matches_has_no_route(world: World) -> None:
    async with world.server(rules=()) as server:
        assert (await ask(server)).status == 404


@pytest.mark.parametrize("started", [False, True])
async def test_losing_the_link_amid_a_conversation_is_peer_lost_without_resuming(world: World, started: bool) -> None:
    async def handle(stream: Stream) -> None:
        if started:
            await stream.send(HttpResponse(200))
        await anyio.sleep_forever()

    upstream = FakeUpstream(handle)
    async with world.pair(upstream, resume_s=0) as server, anyio.create_task_group() as tasks:
        caught: list[SessionError] = []

        async def visit() -> None:
            try:
                await server._target.handle(FakeStream(GET))
            except SessionError as exc:
                caught.append(exc)

        tasks.start_soon(visit)
        await until(lambda: upstream.running)
        await anyio.sleep(0.01)
        world.network.sever()
        await until(lambda: caught, within_s=0.1)
        assert [each.code for each in caught] == [ErrorCode.PEER_LOST]
        await until(lambda: upstream.cancelled, within_s=0.1)


async def test_visitor_that_wants_no_more_ends_the_conversation_as_such(world: World) -> None:
    """Its stream says so by ``SendingStopped``, which must come out as it went in."""

    class Enough(FakeStream):
        async def send(self, payload: object) -> None:
            await anyio.lowlevel.checkpoint()
            raise SendingStopped("enough")

    async with world.pair() as server:
        for head, body in ((GET, ()), (POST, [BodyChunk(b"x", end=True)])):
            with pytest.raises(SendingStopped):
                await server._target.handle(Enough(head, body))


async def test_fault_of_the_visitor_amid_its_upload_is_the_outcome(world: World) -> None:
    class Faulty(FakeStream):
        async def receive(self) -> BodyChunk:
            await anyio.lowlevel.checkpoint()
            raise SessionError(ErrorCode.TOO_LARGE, "too much")

    async def wait(stream: Stream) -> None:
        await anyio.sleep_forever()

    upstream = FakeUpstream(wait)
    async with world.pair(upstream) as server:
        with pytest.raises(SessionError) as caught:
            await server._target.handle(Faulty(POST))
        assert ErrorCode.TOO_LARGE is caught.value.code
        await until(lambda: upstream.cancelled, within_s=0.1)


async def test_thousand_conversations_at_once_each_get_their_own_answer(world: World) -> None:
    arrived = 0
    all_there = anyio.Event()

    async def meet(stream: Stream) -> None:
        nonlocal arrived
        arrived += 1
        if arrived == 1000:
            all_there.set()
        await all_there.wait()
        await echo(stream)

    bodies: dict[int, bytes] = {}

    async def visit(number: int) -> None:
        bodies[number] = (await ask(server, body=b"%d" % number)).body

    async with world.pair(meet) as server, anyio.create_task_group() as tasks:
        for number in range(1000):
            tasks.start_soon(visit, number)
    assert {number: b"%d" % number for number in range(1000)} == bodies
