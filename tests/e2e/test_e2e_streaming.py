"""Nothing is held back on its way, and nothing goes on for a visitor that has left."""

import asyncio
import re
import time

import pytest
from e2e_data import MIB, blocks
from e2e_visitor import Visitor, exchange_state, fetch, run

pytestmark = pytest.mark.both_ways

EVENTS = 20
STOPS_WITHIN_S = 1.0
LARGE = 256 * MIB


def test_each_event_arrives_before_the_next_one_is_sent(tunnel):
    # The upstream sends event n+1 only once the visitor has confirmed n: any buffering on the way would never end.
    exchange = f"sse-{tunnel.name}"

    async def scenario():
        received = b""
        async with await Visitor.connect(tunnel.ingress) as visitor, await Visitor.connect(tunnel.ingress) as confirmer:
            await visitor.send_head("GET", f"/sse?id={exchange}&events={EVENTS}", [("Accept", "text/event-stream")])
            response = await visitor.head()
            numbers = []
            async for piece in visitor.body(response):
                received += piece
                while event := re.match(rb"id: (\d+)\ndata: event \1\n\n", received):
                    received = received[event.end() :]
                    numbers.append(int(event[1]))
                    confirmed = await confirmer.request("POST", f"/sse/confirm?id={exchange}&n={event[1].decode()}")
                    assert confirmed.status == 200
        return response, numbers, received

    response, numbers, rest = run(scenario(), deadline_s=20)

    assert response.header("content-type") == "text/event-stream"
    assert list(range(1, EVENTS + 1)) == numbers
    assert rest == b""


async def wait_for_the_first_byte(visitor, upstream, exchange):
    await visitor.send_head("GET", f"/slow?id={exchange}")
    await exchange_state(upstream, exchange, until="started")


async def be_in_the_middle_of_a_download(visitor, upstream, exchange):
    await visitor.send_head("GET", f"/download?id={exchange}&bytes={LARGE}")
    response = await visitor.head()
    assert response.status == 200
    await anext(visitor.body(response))
    await exchange_state(upstream, exchange, until=f"sent:{MIB}")


async def have_a_download_stalled(visitor, upstream, exchange):
    await visitor.send_head("GET", f"/download?id={exchange}&bytes={LARGE}")
    await exchange_state(upstream, exchange, until="blocked")


async def be_in_the_middle_of_an_upload(visitor, upstream, exchange):
    await visitor.send_head("POST", f"/upload?id={exchange}", [("Content-Length", str(LARGE))])
    for block in blocks(MIB):
        await visitor.send(block)
    await exchange_state(upstream, exchange, until=f"received:{MIB}")


async def wait_for_the_next_event(visitor, upstream, exchange):
    await visitor.send_head("GET", f"/sse?id={exchange}&events=2")
    response = await visitor.head()
    await anext(visitor.body(response))


@pytest.mark.parametrize(
    "under_way",
    [
        wait_for_the_first_byte,
        be_in_the_middle_of_a_download,
        have_a_download_stalled,
        be_in_the_middle_of_an_upload,
        wait_for_the_next_event,
    ],
)
def test_visitor_that_leaves_stops_the_upstreams_work_within_a_second(tunnel, upstream, under_way, measured):
    exchange = f"left-{under_way.__name__}-{tunnel.name}"

    async def scenario():
        async with await Visitor.connect(tunnel.ingress) as visitor:
            await under_way(visitor, upstream, exchange)
            left = time.monotonic()
        state = await exchange_state(upstream, exchange, until="cancelled")
        return state, state["cancelled"] - left

    state, took_s = run(scenario(), deadline_s=20)

    measured(f"{took_s * 1000:.0f} ms")
    assert state["finished"] is None
    assert took_s < STOPS_WITHIN_S


def test_connection_of_a_visitor_that_stays_serves_on_after_others_left(tunnel, upstream):
    async def scenario():
        async with await Visitor.connect(tunnel.ingress) as staying:
            before = await staying.get("/small")
            leaving = [await Visitor.connect(tunnel.ingress) for _ in range(50)]
            names = [f"crowd-{number}-{tunnel.name}" for number in range(len(leaving))]
            visits = zip(leaving, names, strict=True)
            await asyncio.gather(*(wait_for_the_first_byte(visitor, upstream, name) for visitor, name in visits))
            await asyncio.gather(*(visitor.leave() for visitor in leaving))
            await asyncio.gather(*(exchange_state(upstream, name, until="cancelled") for name in names))
            return before, await staying.get("/small"), await fetch(tunnel.ingress, "/small")

    assert [response.body for response in run(scenario(), deadline_s=20)] == [b"small"] * 3
