"""Asking another client after one failed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import anyio
import pytest
from support.app_kit import FakeStream, FakeUpstream, Handler, World, ask, echo, group, until

from tunnel.app.client import Client
from tunnel.app.server import Server
from tunnel.domain.envelopes import BodyChunk, HttpRequest, HttpResponse, SessionPayload
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.limits import KIB
from tunnel.ports.target import Stream

pytestmark = pytest.mark.anyio

GET = HttpRequest("GET", b"/", host=b"app.test", end=True)
EMPTY_POST = HttpRequest("POST", b"/", host=b"app.test", end=True)
POST = HttpRequest("POST", b"/", host=b"app.test")
PUT = HttpRequest("PUT", b"/", host=b"app.test")
BODY = (BodyChunk(b"one"), BodyChunk(b"two"), BodyChunk(b"three", end=True))


async def refuse(stream: Stream) -> None:
    raise SessionError(ErrorCode.REFUSED, "not now")


async def hang(stream: Stream) -> None:
    await anyio.sleep_forever()


def refuse_after(envelopes: int) -> Handler:
    async def handle(stream: Stream) -> None:
        for _ in range(envelopes):
            await stream.receive()
        await refuse(stream)

    return handle


async def refuse_after_answering(stream: Stream) -> None:
    await stream.send(HttpResponse(200))
    await refuse(stream)


@asynccontextmanager
async def clients(world: World, *handlers: Handler, settings: Any = None, **limits: Any) -> Any:
    """A server, clients that handle what they get like this, and what each of them got."""
    upstreams = [FakeUpstream(handler) for handler in handlers]
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(
            world.server(groups={"web": settings or group(balance="round_robin")}, **limits)
        )
        members = []
        for number, upstream in enumerate(upstreams):
            client = await stack.enter_async_context(world.client(upstream, client_id=f"client-{number}"))
            await client.ready()
            members.append(client)
        yield server, members, upstreams


async def outcome(server: Server, head: HttpRequest, body: Sequence[SessionPayload] = ()) -> ErrorCode | bytes:
    """What the visitor got: a body, or the code of a failure."""
    stream = FakeStream(head, body)
    try:
        with anyio.fail_after(60):
            await server._target.handle(stream)
    except SessionError as exc:
        return exc.code
    assert stream.ended
    return stream.body


async def lost(server: Server, member: Client, head: HttpRequest, body: Sequence[SessionPayload] = ()) -> Any:
    """What the visitor got whose client left once it had the request."""
    got = []

    async def visit() -> None:
        got.append(await outcome(server, head, body))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(visit)
        await anyio.sleep(1)
        await member.aclose(drain_s=0)
    return got[0]


def counts(upstreams: list[FakeUpstream]) -> list[int]:
    return [len(each.heads) for each in upstreams]


# -- refused


@pytest.mark.rule("G5")
async def test_refused_request_is_given_to_another_client(world: World) -> None:
    async with clients(world, refuse, echo) as (server, _, upstreams):
        assert [(await ask(server)).status for _ in range(4)] == [200] * 4
    assert counts(upstreams) == [2, 4]


async def test_refused_request_is_given_away_whatever_its_method(world: World) -> None:
    async with clients(world, refuse, echo) as (server, _, upstreams):
        assert [await outcome(server, EMPTY_POST) for _ in range(2)] == [b"", b""]
    assert counts(upstreams) == [1, 2]


async def test_refused_request_waits_for_another_client(world: World) -> None:
    settings = group(wait_for_client_s=5)
    async with clients(world, refuse, settings=settings) as (server, _, _), anyio.create_task_group() as tasks:
        stream = FakeStream(GET)
        tasks.start_soon(server._target.handle, stream)
        await anyio.sleep(1)
        async with world.client(client_id="two") as two:
            await two.ready()
            await until(lambda: stream.ended, within_s=0.1)
    assert stream.answer is not None
    assert stream.answer.status == 200


async def test_request_refused_by_all_there_are_fails_for_want_of_a_client(world: World) -> None:
    async with clients(world, refuse, refuse) as (server, _, upstreams):
        assert await outcome(server, GET) is ErrorCode.NO_CLIENT
    assert counts(upstreams) == [1, 1]


async def test_request_refused_everywhere_fails_after_three_clients(world: World) -> None:
    async with clients(world, *[refuse] * 5) as (server, _, upstreams):
        assert await outcome(server, GET) is ErrorCode.REFUSED
    assert sum(counts(upstreams)) == 3


async def test_other_failures_are_not_given_to_another(world: World) -> None:
    async def fail(stream: Stream) -> None:
        raise SessionError(ErrorCode.UPSTREAM_UNREACHABLE, "nobody there")

    async with clients(world, fail, fail) as (server, _, upstreams):
        assert (await ask(server)).status == 502
    assert sum(counts(upstreams)) == 1


# -- what was sent is sent again


@pytest.mark.parametrize("read", [0, 1, 2, 3])
async def test_body_is_sent_again_from_the_start(world: World, read: int) -> None:
    async with clients(world, refuse_after(read), refuse_after(read), echo) as (server, _, upstreams):
        assert await outcome(server, POST, BODY) == b"onetwothree"
    assert counts(upstreams) == [1, 1, 1]


async def test_rest_of_the_body_follows_what_is_sent_again(world: World) -> None:
    async with clients(world, refuse_after(1), echo) as (server, _, upstreams), anyio.create_task_group() as tasks:
        stream = FakeStream(POST, BODY[:1])
        tasks.start_soon(server._target.handle, stream)
        await until(lambda: len(upstreams[1].heads) == 1)
        stream.feed(*BODY[1:])
        await until(lambda: stream.ended)
    assert stream.body == b"onetwothree"


@pytest.mark.rule("G5")
async def test_request_is_not_given_away_once_the_client_has_used_what_it_was_sent(world: World) -> None:
    # More than a quarter of the window was read: credit has come back, and so the body was let go.
    async def read_and_refuse(stream: Stream) -> None:
        await stream.receive()
        await stream.receive()
        await anyio.sleep(1)
        await refuse(stream)

    body = (BodyChunk(b"x" * 10 * KIB), BodyChunk(b"x" * 10 * KIB), BodyChunk(b"", end=True))
    async with clients(world, read_and_refuse, read_and_refuse) as (server, _, upstreams):
        assert await outcome(server, POST, body) is ErrorCode.REFUSED
    assert sum(counts(upstreams)) == 1


@pytest.mark.rule("G5")
async def test_request_that_is_too_large_to_be_held_is_not_given_away(world: World) -> None:
    async def wait_and_refuse(stream: Stream) -> None:
        await anyio.sleep(1)
        await refuse(stream)

    body = (*[BodyChunk(b"x" * 10 * KIB)] * 8, BodyChunk(b"", end=True))
    limits = {"session_window_bytes": 1024 * KIB}
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(world.server(**limits))
        upstreams = [FakeUpstream(wait_and_refuse), FakeUpstream(wait_and_refuse)]
        for number, upstream in enumerate(upstreams):
            client = world.client(upstream, client_id=f"client-{number}", **limits)
            await (await stack.enter_async_context(client)).ready()
        assert await outcome(server, POST, body) is ErrorCode.REFUSED
    assert sum(counts(upstreams)) == 1


@pytest.mark.rule("G5")
async def test_request_whose_answer_has_begun_is_not_given_to_another(world: World) -> None:
    async with clients(world, refuse_after_answering, refuse_after_answering) as (server, _, upstreams):
        assert await outcome(server, GET) is ErrorCode.REFUSED
    assert sum(counts(upstreams)) == 1


# -- lost


async def test_idempotent_request_that_was_lost_is_given_to_another_client(world: World) -> None:
    async with clients(world, hang, echo) as (server, (first, _), upstreams):
        assert await lost(server, first, GET) == b""
        assert counts(upstreams) == [1, 1]


async def test_idempotent_request_that_was_lost_is_sent_again_with_its_body(world: World) -> None:
    async def take_and_hang(stream: Stream) -> None:
        await stream.receive()
        await hang(stream)

    async with clients(world, take_and_hang, echo) as (server, (first, _), upstreams):
        assert await lost(server, first, PUT, BODY) == b"onetwothree"
        assert counts(upstreams) == [1, 1]


@pytest.mark.parametrize(("head", "body"), [(EMPTY_POST, ()), (POST, BODY)])
async def test_request_that_may_have_been_done_is_not_done_again(
    world: World, head: HttpRequest, body: Sequence[SessionPayload]
) -> None:
    async with clients(world, hang, echo) as (server, (first, _), upstreams):
        assert await lost(server, first, head, body) is ErrorCode.PEER_LOST
        assert counts(upstreams) == [1, 0]


async def test_upgraded_connection_is_not_the_request_that_asked_for_it(world: World) -> None:
    handshake = HttpRequest("GET", b"/", host=b"app.test", protocol="websocket", end=True)
    async with clients(world, hang, echo) as (server, (first, _), upstreams):
        assert await lost(server, first, handshake) is ErrorCode.PEER_LOST
        assert counts(upstreams) == [1, 0]


async def test_answer_that_was_cut_short_is_not_begun_again(world: World) -> None:
    async def answer_and_hang(stream: Stream) -> None:
        await stream.send(HttpResponse(200))
        await hang(stream)

    async with clients(world, answer_and_hang, echo) as (server, (first, _), upstreams):
        assert await lost(server, first, GET) is ErrorCode.PEER_LOST
        assert counts(upstreams) == [1, 0]


async def test_lost_request_fails_as_it_did_when_nobody_else_is_there(world: World) -> None:
    async with clients(world, hang) as (server, (only,), _):
        assert await lost(server, only, GET) is ErrorCode.PEER_LOST


# -- how many


async def test_retries_are_a_fifth_of_the_requests_and_three(world: World) -> None:
    codes: list[ErrorCode | bytes] = []

    async def visit(server: Server) -> None:
        codes.append(await outcome(server, GET))

    async with (
        clients(world, hang) as (server, (first,), _),
        world.client(FakeUpstream(echo), client_id="another") as second,
        anyio.create_task_group() as tasks,
    ):
        for _ in range(50):
            tasks.start_soon(visit, server)
        await second.ready()
        await anyio.sleep(1)
        await first.aclose(drain_s=0)
    assert codes.count(b"") == 50 // 5 + 3
    assert codes.count(ErrorCode.PEER_LOST) == 50 - 50 // 5 - 3


async def test_requests_that_never_reached_a_link_are_given_away_without_counting(world: World) -> None:
    release = anyio.Event()

    async def wait(stream: Stream) -> None:
        await release.wait()
        await echo(stream)

    upstreams = [FakeUpstream(wait), FakeUpstream(echo)]
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(world.server(groups={"web": group(balance="round_robin")}))
        for number, upstream in enumerate(upstreams):
            client = world.client(upstream, client_id=f"client-{number}", max_sessions=1)
            await (await stack.enter_async_context(client)).ready()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, server)
            await until(lambda: upstreams[0].running == 1)
            # Every second one is chosen for the client that takes no more: many more than the budget has.
            assert [await outcome(server, EMPTY_POST) for _ in range(60)] == [b""] * 60
            release.set()
    assert counts(upstreams) == [1, 60]
