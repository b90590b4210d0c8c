"""Bodies that the visitor sends only when asked for, through a tunnel: receiving is what asks for them."""

from __future__ import annotations

import anyio
import pytest
from support.app_kit import FakeStream, FakeUpstream, World, echo, until

from tunnel.domain.envelopes import BodyChunk, HttpRequest, HttpResponse
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.ports.target import Stream

pytestmark = pytest.mark.anyio

EXPECT = (b"host", b"app.test", b"expect", b"100-continue")
HEAD = HttpRequest("PUT", b"/", None, b"app.test", EXPECT)
BODY = (BodyChunk(b"ab", False), BodyChunk(b"cd", True))


@pytest.mark.rule("S21")
async def test_body_on_demand_is_taken_when_the_other_end_receives_and_not_before(world: World) -> None:
    entered, proceed = anyio.Event(), anyio.Event()

    async def handle(stream: Stream) -> None:
        entered.set()
        await proceed.wait()
        await echo(stream)

    stream = FakeStream(HEAD, BODY)
    async with world.pair(FakeUpstream(handle)) as server, anyio.create_task_group() as tasks:
        tasks.start_soon(server._target.handle, stream)
        await entered.wait()
        await anyio.sleep(60)
        assert stream.received == 0
        proceed.set()
        await until(lambda: stream.ended)
    assert stream.sent == [HttpResponse(200, EXPECT), *BODY]


@pytest.mark.rule("S21")
@pytest.mark.parametrize("headers", [EXPECT, (*EXPECT, b"x-large", b"x" * 50_000)])
async def test_body_on_demand_arrives_whole(world: World, headers: tuple[bytes, ...]) -> None:
    received: list[bytes] = []

    async def handle(stream: Stream) -> None:
        ended = False
        while not ended:
            payload = await stream.receive()
            assert isinstance(payload, BodyChunk)
            received.append(payload.data)
            ended = payload.end
        await stream.send(HttpResponse(200, end=True))

    stream = FakeStream(HttpRequest("PUT", b"/", None, b"app.test", headers), BODY)
    async with world.pair(FakeUpstream(handle)) as server:
        await server._target.handle(stream)
    assert (b"".join(received), stream.sent) == (b"abcd", [HttpResponse(200, end=True)])


@pytest.mark.rule("S21")
async def test_answer_instead_leaves_a_body_on_demand_with_the_visitor(world: World) -> None:
    answer = HttpResponse(417, end=True)

    async def handle(stream: Stream) -> None:
        await stream.send(answer)

    stream = FakeStream(HEAD, BODY)
    async with world.pair(FakeUpstream(handle)) as server:
        await server._target.handle(stream)
    assert (stream.received, stream.sent) == (0, [answer])


async def test_answer_may_begin_while_the_body_on_demand_is_asked_for(world: World) -> None:
    async def handle(stream: Stream) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stream.receive)
            tasks.start_soon(stream.send, HttpResponse(200))
        await stream.send(await stream.receive())

    stream = FakeStream(HEAD, BODY)
    async with world.pair(FakeUpstream(handle)) as server:
        await server._target.handle(stream)
    assert stream.sent == [HttpResponse(200), BODY[1]]


async def test_visitor_that_leaves_before_it_is_asked_cancels_the_handler(world: World) -> None:
    upstream = FakeUpstream(lambda _: anyio.sleep_forever())
    stream = FakeStream(HEAD, BODY)
    async with world.pair(upstream) as server:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server._target.handle, stream)
            await until(lambda: upstream.running)
            tasks.cancel_scope.cancel()
        await until(lambda: upstream.cancelled)
    assert (stream.received, upstream.running) == (0, 0)


async def test_failure_before_the_body_is_asked_for_is_the_outcome(world: World) -> None:
    async def handle(_: Stream) -> None:
        raise SessionError(ErrorCode.UPSTREAM_UNREACHABLE, "it is not there")

    stream = FakeStream(HEAD, BODY)
    async with world.pair(FakeUpstream(handle)) as server:
        with pytest.raises(SessionError, match="it is not there"):
            await server._target.handle(stream)
    assert stream.received == 0
