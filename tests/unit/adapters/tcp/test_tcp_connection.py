"""How a connection is read and written: in what pieces, how far ahead, and to what end."""

from __future__ import annotations

import asyncio

import pytest
from tcp_kit import END, LOOPS, Peer, holds, serving

from tunnel.adapters.tcp import connection as module
from tunnel.adapters.tcp.shared import CHUNK_BYTES
from tunnel.domain.envelopes import BodyChunk
from tunnel.domain.limits import MAX_CHUNK_COST, MAX_FRAME_BYTES
from tunnel.ports.target import Stream

pytestmark = pytest.mark.anyio


@pytest.fixture(params=LOOPS, ids=["asyncio", "uvloop"])
def anyio_backend(request):
    return request.param


async def test_what_is_read_at_once_fits_into_a_frame() -> None:
    chunks: list[BodyChunk] = []

    async def collect(stream: Stream) -> None:
        while not (chunks and chunks[-1].end):
            chunks.append(await stream.receive())
        await stream.send(END)

    data = bytes(range(251)) * 8000
    async with serving(collect) as run:
        visitor = await run.visitor()
        await visitor.say(data)
        visitor.half_close()
        await visitor.rest()

    assert b"".join(chunk.data for chunk in chunks) == data
    pieces = -(-max(len(chunk.data) for chunk in chunks) // CHUNK_BYTES)
    assert pieces * MAX_CHUNK_COST <= MAX_FRAME_BYTES
    assert [chunk.end for chunk in chunks] == [False] * (len(chunks) - 1) + [True]


async def test_what_came_in_small_pieces_is_taken_at_once() -> None:
    heard = asyncio.Event()
    chunks: list[BodyChunk] = []

    async def wait(stream: Stream) -> None:
        await heard.wait()
        chunks.append(await stream.receive())
        await stream.send(END)

    async with serving(wait) as run:
        visitor = await run.visitor()
        for _ in range(20):
            await visitor.say(b"0123456789")
            await asyncio.sleep(0)
        (visit,) = await connections(run)
        await holds(lambda: visit._buffered_bytes == 200)
        heard.set()
        visitor.half_close()
        await visitor.rest()

    assert chunks[0].data == b"0123456789" * 20


async def test_no_more_is_read_than_is_taken() -> None:
    taking = asyncio.Event()
    taken = 0

    async def wait(stream: Stream) -> None:
        nonlocal taken
        await taking.wait()
        end = False
        while not end:
            chunk = await stream.receive()
            taken += len(chunk.data)
            end = chunk.end
        await stream.send(END)

    async with serving(wait) as run:
        visitor = await run.visitor()
        said = await visitor.say_until_stuck(bytes(1 << 16), most_bytes=1 << 26)
        (visit,) = await connections(run)
        assert said < 1 << 26
        assert visit._buffered_bytes < 5 * CHUNK_BYTES

        taking.set()
        visitor.half_close()
        await visitor.rest()
    assert taken >= said


async def test_reading_goes_on_before_all_is_taken() -> None:
    async def wait(stream: Stream) -> None:
        await asyncio.Event().wait()

    async with serving(wait) as run:
        visitor = await run.visitor()
        await visitor.say_until_stuck(bytes(1 << 16), most_bytes=1 << 26)
        (visit,) = await connections(run)
        while visit._buffered_bytes > CHUNK_BYTES:
            assert visit._reading_paused
            await visit.receive()
        assert visit._buffered_bytes > 0
        assert not visit._reading_paused
        visitor.reset()


async def test_peer_that_takes_nothing_of_the_last_bytes_is_reset_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FLUSH_STALL_S", 0.02)

    async def pour(stream: Stream) -> None:
        await stream.receive()
        await stream.send(BodyChunk(bytes(1 << 24), end=True))

    async with serving(pour) as run:
        visitor = await run.visitor(receive_bytes=4096)
        visitor.half_close()
        await holds(lambda: run.target.heads != [] and not run.ingress._visits)
        assert await visitor.was_reset()


async def test_peer_that_takes_the_last_bytes_slowly_gets_them_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FLUSH_STALL_S", 0.3)
    data = bytes(range(256)) * 16384

    async def pour(stream: Stream) -> None:
        await stream.receive()
        await stream.send(BodyChunk(data, end=True))

    async with serving(pour) as run:
        visitor = await run.visitor(receive_bytes=4096)
        visitor.half_close()
        assert await visitor.rest() == data


async def connections(run):
    """Those of a listener, found by what its tasks hold."""
    await holds(lambda: run.target.running == 1)
    return [task.get_coro().cr_frame.f_locals["connection"] for task in run.ingress._visits]


async def test_who_only_says_is_stopped_when_the_visitor_is_gone() -> None:
    here, over = asyncio.Event(), asyncio.Event()
    visitors: list[Peer] = []
    said = 0

    async def say(stream: Stream) -> None:
        nonlocal said
        await here.wait()
        visitors[0].reset()
        try:
            while said < 100_000:  # nothing of it has to wait for the visitor
                await stream.send(BodyChunk(b"x"))
                said += 1
        finally:
            over.set()

    async with serving(say) as run:
        visitors.append(await run.visitor())
        await connections(run)
        here.set()
        await over.wait()

    assert said < 100_000
