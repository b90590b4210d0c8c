import zlib

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from middleware_kit import Answering, Guarded

from tunnel.domain.envelopes import BodyChunk, HttpRequest, HttpResponse, Trailers
from tunnel.domain.middleware.header_edits import first_field

pytestmark = pytest.mark.anyio

TEXT = (b"content-type", b"text/plain")
TABLE = {"c": {"use": "compression", "min_bytes": 10}}
LONG = b"tunnel " * 100


def get(method="GET", accept=b"gzip"):
    return HttpRequest(method, host=b"a", headers=(b"host", b"a", b"accept-encoding", accept), end=True)


def inflated(stream):
    return zlib.decompressobj(31).decompress(stream.body)


async def test_whole_response_is_compressed():
    stream = await Guarded(TABLE, Answering(HttpResponse(200, TEXT, LONG, end=True))).ask(get())
    assert first_field(stream.answer.headers, b"content-encoding") == b"gzip"
    assert len(stream.body) < len(LONG) / 5
    assert inflated(stream) == LONG


async def test_each_piece_of_an_event_stream_can_be_read_when_it_comes():
    pieces = [BodyChunk(b"data: 1\n\n"), BodyChunk(b"data: 2\n\n"), BodyChunk(b"", end=True)]
    head = HttpResponse(200, (b"content-type", b"text/event-stream"))
    stream = await Guarded(TABLE, Answering(head, *pieces)).ask(get())
    reader = zlib.decompressobj(31)
    assert reader.decompress(stream.answer.body) == b""
    assert [reader.decompress(each.data) for each in stream.sent[1:]] == [b"data: 1\n\n", b"data: 2\n\n", b""]
    assert reader.eof


async def test_body_ends_before_trailers():
    trailers = Trailers((b"x", b"1"))
    stream = await Guarded(TABLE, Answering(HttpResponse(200, TEXT), BodyChunk(LONG), trailers)).ask(get())
    assert inflated(stream) == LONG
    assert stream.sent[-1] == trailers


async def test_visitor_that_takes_no_gzip_gets_the_body_as_it_is():
    stream = await Guarded(TABLE, Answering(HttpResponse(200, TEXT, LONG, end=True))).ask(get(accept=b"br"))
    assert stream.body == LONG
    assert first_field(stream.answer.headers, b"vary") == b"Accept-Encoding"
    assert first_field(stream.answer.headers, b"content-encoding") is None


async def test_head_is_left_as_it_is():
    answer = HttpResponse(200, (*TEXT, b"content-length", b"700"), end=True)
    stream = await Guarded(TABLE, Answering(answer)).ask(get("HEAD"))
    assert stream.answer == answer


@pytest.fixture
def anyio_backend():
    return "asyncio"


async def test_large_piece_lets_others_have_their_turn():
    turns = 0

    async def count():
        nonlocal turns
        while True:
            await anyio.lowlevel.checkpoint()
            turns += 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(count)
        await Guarded(TABLE, Answering(HttpResponse(200, TEXT, LONG * 1000, end=True))).ask(get())
        tasks.cancel_scope.cancel()
    assert turns >= len(LONG) * 1000 // (32 * 1024)


CHUNKS = st.lists(st.binary(max_size=70_000), max_size=6)


@given(st.binary(max_size=100), CHUNKS)
def test_what_comes_out_is_what_went_in_however_it_is_cut(first, chunks):
    answer = [HttpResponse(200, TEXT, first), *map(BodyChunk, chunks), BodyChunk(b"", end=True)]

    async def run():
        return await Guarded(TABLE, Answering(*answer)).ask(get())

    stream = anyio.run(run)
    reader = zlib.decompressobj(31)
    assert reader.decompress(stream.body) == first + b"".join(chunks)
    assert reader.eof
    assert stream.sent[-1].end
