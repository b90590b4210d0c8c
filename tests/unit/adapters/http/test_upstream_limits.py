"""How many connections there may be to one target, and who waits for them."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from upstream_kit import LOOPS, OK, FakeStream, ask, first_exchange, pair, reached, request, said, upstream_of

from tunnel.domain.errors import ErrorCode, SessionError

pytestmark = pytest.mark.anyio

CLOSING = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture(params=LOOPS, ids=["asyncio", "uvloop"])
def anyio_backend(request):
    return request.param


@contextlib.asynccontextmanager
async def crowd(upstream, *paths):
    """A request for each path, begun in this order, the next when the one before waits or is dialling."""
    tasks = []
    for number, path in enumerate(paths):
        tasks.append(asyncio.create_task(upstream.handle(FakeStream(request("GET", path)))))
        await reached(lambda number=number: upstream._pool.waiting >= number)
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def path_of(head: bytes) -> bytes:
    return head.split(b" ")[1]


async def test_requests_beyond_the_limit_wait_and_are_served_in_order():
    async with pair(max_connections=1) as (upstream, server), crowd(upstream, b"/1", b"/2", b"/3") as tasks:
        visit = await server.visit()
        assert [path_of(await visit.answer(OK)) for _ in range(3)] == [b"/1", b"/2", b"/3"]
        await asyncio.gather(*tasks)
        assert server.count == 1
        assert (upstream.open_connections, upstream.idle_connections) == (1, 1)


async def test_newcomer_does_not_pass_those_who_wait():
    async with pair(max_connections=1) as (upstream, server), crowd(upstream, b"/1", b"/2") as tasks:
        visit = await server.visit()
        await visit.answer(OK)
        await tasks[0]
        late = asyncio.create_task(upstream.handle(FakeStream(request("GET", b"/3"))))
        assert [path_of(await visit.answer(OK)) for _ in range(2)] == [b"/2", b"/3"]
        await late


async def test_place_of_a_connection_that_ends_goes_to_the_first_who_waits():
    async with pair(max_connections=1) as (upstream, server), crowd(upstream, b"/1", b"/2", b"/3") as tasks:
        for path in (b"/1", b"/2", b"/3"):
            visit = await server.visit()
            assert path_of(await visit.answer(CLOSING)) == path
        await asyncio.gather(*tasks)
        assert server.count == 3


async def test_without_keepalive_the_limit_holds_all_the_same():
    async with pair(max_connections=1, keepalive_s=0) as (upstream, server), crowd(upstream, b"/1", b"/2") as tasks:
        for _ in tasks:
            await said(server, OK)
        await asyncio.gather(*tasks)


async def test_too_many_who_wait_are_overloaded_at_once():
    async with pair(max_connections=1, max_waiting=1) as (upstream, server), crowd(upstream, b"/1", b"/2") as tasks:
        with pytest.raises(SessionError) as raised:
            await upstream.handle(FakeStream(request()))
        assert raised.value.code is ErrorCode.OVERLOADED
        visit = await server.visit()
        await visit.answer(OK)
        await visit.answer(OK)
        await asyncio.gather(*tasks)


async def test_who_waits_for_too_long_is_overloaded_and_the_others_are_not():
    async with pair(max_connections=1, connect_timeout_s=0.02) as (upstream, server), crowd(upstream, b"/1") as tasks:
        visit = await server.visit()
        with pytest.raises(SessionError) as raised:
            await upstream.handle(FakeStream(request()))
        assert raised.value.code is ErrorCode.OVERLOADED
        await visit.answer(OK)
        await tasks[0]
        await ask(upstream, lambda: visit.answer(OK))


@pytest.mark.parametrize("answer", [OK, CLOSING])
@pytest.mark.parametrize("leaves", ["before its turn", "at its turn"])
async def test_visitor_that_leaves_while_waiting_passes_its_turn_on(answer, leaves):
    async with pair(max_connections=1) as (upstream, server), crowd(upstream, b"/1", b"/2", b"/3") as tasks:
        visit = await server.visit()
        await visit.request()
        if leaves == "before its turn":
            tasks[1].cancel()
        await visit.say(answer)
        await reached(lambda: upstream._pool.waiting == 1)
        tasks[1].cancel()
        visit = visit if answer is OK else await server.visit()
        assert path_of(await visit.answer(answer)) == b"/3"
        await tasks[2]
        assert tasks[1].cancelled()


async def test_place_is_free_again_when_dialling_fails():
    async with pair(max_connections=1, permits=lambda *asked: False) as (upstream, _):
        for _ in range(3):
            with pytest.raises(SessionError) as raised:
                await upstream.handle(FakeStream(request()))
            assert raised.value.code is ErrorCode.FORBIDDEN


async def test_stale_connection_makes_room_for_the_one_that_takes_its_place():
    async with pair(max_connections=1) as (upstream, server):
        for _ in range(3):
            old = await first_exchange(upstream, server)
            stream = FakeStream(request())
            task = asyncio.create_task(upstream.handle(stream))
            await old.request()
            old.reset()
            await said(server, CLOSING)
            await task
            assert stream.body == b"ok"
        assert upstream._pool._free_places + len(upstream._pool._placed) == 1


async def test_waiting_post_is_not_given_a_connection_that_has_ended_meanwhile():
    async with pair(max_connections=1) as (upstream, server), crowd(upstream, b"/1") as tasks:
        visit = await server.visit()
        post = asyncio.create_task(upstream.handle(FakeStream(request("POST"))))
        await reached(lambda: upstream._pool.waiting == 1)
        await visit.request()
        visit.writer.write(OK)
        visit.writer.write_eof()
        fresh = await server.visit()
        await fresh.answer(OK)
        await asyncio.gather(post, *tasks)


async def test_connection_is_kept_no_longer_than_the_upstream_allows():
    answer = b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=%d\r\nContent-Length: 0\r\n\r\n"
    async with pair(keepalive_s=4) as (upstream, server):
        visit = await first_exchange(upstream, server, answer % 3)
        assert await ask(upstream, lambda: visit.answer(answer % 0))
        assert upstream.idle_connections == 0
        await visit.gone()


async def test_aclose_refuses_who_waits():
    async with pair(max_connections=1) as (upstream, server), crowd(upstream, b"/1", b"/2") as tasks:
        await server.visit()
        await upstream.aclose()
        with pytest.raises(SessionError) as raised:
            await tasks[1]
        assert raised.value.code is ErrorCode.REFUSED


async def test_limit_is_per_target():
    limited = {"max_connections": 1}
    async with pair(**limited) as (one, server), upstream_of(server.target, **limited) as other, crowd(one, b"/1"):
        await server.visit()
        await ask(other, lambda: said(server, OK))
