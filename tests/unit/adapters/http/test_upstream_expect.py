"""Bodies that are sent only when asked for."""

from __future__ import annotations

import asyncio

import pytest
from upstream_kit import LOOPS, OK, FakeStream, failure, handling, pair, reached, request

from tunnel.adapters.http import upstream_upload
from tunnel.domain.envelopes import BodyChunk, HttpResponse
from tunnel.domain.errors import ErrorCode

pytestmark = pytest.mark.anyio

EXPECT = (b"Expect", b"100-Continue")
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.fixture(params=LOOPS, ids=["asyncio", "uvloop"])
def anyio_backend(request):
    return request.param


def waiting_visitor() -> FakeStream:
    return FakeStream(request("PUT", b"/", *EXPECT, b"Content-Length", b"2", end=False), [BodyChunk(b"ab", True)])


async def settle():
    for _ in range(20):
        await asyncio.sleep(0)


async def test_body_is_taken_from_the_visitor_when_the_upstream_asks_for_it():
    async with pair() as (upstream, server):
        stream = waiting_visitor()
        async with handling(upstream, stream):
            visit = await server.visit()
            assert b"\r\nExpect: 100-continue\r\n" in await visit.request()
            await visit.say(b"HTTP/1.1 103 Early Hints\r\n\r\n")
            await settle()
            assert stream.unread == 1
            await visit.say(CONTINUE)
            assert await visit.reader.readexactly(2) == b"ab"
            await visit.say(OK)
        assert stream.sent == [HttpResponse(200, (b"Content-Length", b"2"), b"ok", True)]
        assert upstream.idle_connections == 1


async def test_upstream_that_answers_instead_gets_no_body_and_its_connection_is_closed():
    async with pair() as (upstream, server):
        stream = waiting_visitor()
        async with handling(upstream, stream):
            visit = await server.visit()
            await visit.answer(b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\n\r\n")
            await stream.until(lambda: len(stream.sent) == 1)
            await settle()
            assert stream.unread == 1
            await visit.say(b"no")
            assert await visit.gone() == b""
        assert stream.response.status == 417
        assert stream.unread == 1
        await reached(lambda: upstream.open_connections == 0)


async def test_upstream_that_never_asks_gets_the_body_after_a_while(monkeypatch):
    monkeypatch.setattr(upstream_upload, "_PERMISSION_S", 0.01)
    async with pair() as (upstream, server):
        stream = waiting_visitor()
        async with handling(upstream, stream):
            visit = await server.visit()
            await visit.request()
            assert await visit.reader.readexactly(2) == b"ab"
            await visit.say(OK)
        assert stream.body == b"ok"


async def test_upstream_lost_before_it_asks_leaves_the_body_alone():
    async with pair() as (upstream, server):
        stream = waiting_visitor()

        async def serve():
            visit = await server.visit()
            await visit.request()
            visit.reset()

        error = await failure(upstream, stream, serve)
        assert error.code is ErrorCode.UPSTREAM_UNREACHABLE
        assert stream.unread == 1


@pytest.mark.parametrize(
    "head",
    [
        request("PUT", b"/", *EXPECT, body=b"ab"),
        request("PUT", b"/", *EXPECT, body=b"ab", end=False),
        request("PUT", b"/", b"Expect", b"miracles", end=False),
    ],
)
async def test_nothing_is_asked_for_when_the_body_is_coming_anyway(head):
    async with pair() as (upstream, server):
        stream = FakeStream(head, [BodyChunk(b"", True)])
        async with handling(upstream, stream):
            visit = await server.visit()
            assert b"xpect" not in await visit.request()
            await visit.say(OK)


async def test_visitor_that_leaves_before_the_upstream_asks_closes_the_connection():
    async with pair() as (upstream, server):
        async with handling(upstream, waiting_visitor()) as task:
            visit = await server.visit()
            await visit.request()
            task.cancel()
            await visit.gone()
        await reached(lambda: upstream.open_connections == 0)
        assert len(asyncio.all_tasks()) <= 2


async def test_upstream_of_http10_is_asked_for_permission_once():
    async with pair() as (upstream, server):
        for number, spoken in enumerate((b"HTTP/1.0", b"HTTP/1.1", b"HTTP/1.1")):
            stream = waiting_visitor()
            async with handling(upstream, stream):
                visit = await server.visit()
                assert (b"xpect" in await visit.request()) == (number != 1)
                if number != 1:
                    await visit.say(CONTINUE)
                assert await visit.reader.readexactly(2) == b"ab"
                await visit.say(spoken + b" 200 OK\r\nConnection: close\r\n\r\nok")
                await visit.half_close()
            assert stream.body == b"ok"
