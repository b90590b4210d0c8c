"""Links that are narrow or long: nothing is lost on the one, and the other can be filled."""

import asyncio
import contextlib
import time

import pytest
from e2e_data import MIB
from e2e_processes import start_shaping_proxy
from e2e_visitor import Visitor, fetch, run

NARROW_RATE = 1_000_000
SMALL_WITHIN_S = 2.5
DELAY_EACH_WAY_MS = 50
LONG_RATE = 20_000_000
# A machine that has other things to do may not fill it each time.
LONG_TRIES = 3
WARM_UP_BYTES = 24 * MIB
TIMED_BYTES = 48 * MIB
TROUBLE = "link_lost|connect_failed|client_unpublished|Traceback"


@pytest.fixture
def shaped(transport, deploy, upstream):
    """Start a tunnel whose only way is a link as told; return it and the address that visitors use."""
    if transport == "memory":
        pytest.skip("nothing lies between the two ends of the in-memory transport")
    with contextlib.ExitStack() as stack:

        def start(*, heartbeat_s=5, **link):
            topology = deploy(client=False, heartbeat_s=heartbeat_s)
            direct = transport == "direct"
            proxy, near = start_shaping_proxy(upstream if direct else topology.transport_address, **link)
            stack.callback(proxy.kill)
            topology.start_client(via=near)
            topology.wait_for_client()
            return topology, near if direct else topology.ingress

        yield start


async def bulk(ingress, *, for_s: float) -> int:
    """Download for so long; return how many bytes came."""
    received = 0
    async with await Visitor.connect(ingress) as visitor:
        await visitor.send_head("GET", f"/download?bytes={1 << 40}")
        response = await visitor.head()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(for_s):
                async for piece in visitor.body(response):
                    received += len(piece)
    return received


async def small_requests(ingress, *, until: asyncio.Task) -> list[float]:
    """Send one small request after another until a task has ended; return how long each took."""
    taken = []
    while not until.done():
        start = time.monotonic()
        assert (await fetch(ingress, "/small")).body == b"small"
        taken.append(time.monotonic() - start)
    return taken


@pytest.mark.parametrize(("for_s", "heartbeat_s"), [(5, 1), pytest.param(60, 5, marks=pytest.mark.full)])
def test_narrow_link_full_of_bulk_stays_connected_and_responsive(shaped, for_s, heartbeat_s, measured):
    # Either run lasts for longer than the three heartbeats after which a silent link is given up.
    topology, ingress = shaped(rate=NARROW_RATE, heartbeat_s=heartbeat_s)

    async def scenario():
        loading = asyncio.create_task(bulk(ingress, for_s=for_s))
        return await small_requests(ingress, until=loading), await loading

    taken, received = run(scenario(), deadline_s=for_s + 30)

    measured(f"{received / for_s / 1e6:.2f} MB/s of 1; {len(taken)} small requests, slowest {max(taken):.2f} s")
    assert max(taken) < SMALL_WITHIN_S
    assert received > 0.7 * NARROW_RATE * for_s
    for process in topology.processes.values():
        assert process.matches(TROUBLE) == []
        assert len(process.matches("ready client=")) <= 1


def test_long_link_is_filled_by_one_download(shaped, measured):
    _, ingress = shaped(delay_ms=DELAY_EACH_WAY_MS)

    async def download():
        received, start = 0, None
        async with await Visitor.connect(ingress) as visitor:
            await visitor.send_head("GET", f"/download?bytes={WARM_UP_BYTES + TIMED_BYTES}")
            response = await visitor.head()
            async for piece in visitor.body(response):
                received += len(piece)
                if start is None and received >= WARM_UP_BYTES:
                    start = time.monotonic()
                    before = received
        return (received - before) / (time.monotonic() - start)

    async def scenario():
        rates = []
        while len(rates) < LONG_TRIES and max(rates, default=0) < LONG_RATE:
            rates.append(await download())
        return max(rates)

    rate = run(scenario(), deadline_s=120)

    measured(f"{rate / 1e6:.0f} MB/s after {WARM_UP_BYTES / MIB:.0f} MiB")
    assert rate >= LONG_RATE


def test_long_link_really_is_long(shaped):
    """Without this, a proxy that delays nothing would pass for a long link."""
    _, ingress = shaped(delay_ms=DELAY_EACH_WAY_MS)

    async def scenario():
        async with await Visitor.connect(ingress) as visitor:
            await visitor.get("/small")
            start = time.monotonic()
            await visitor.get("/small")
            return time.monotonic() - start

    assert 2 * DELAY_EACH_WAY_MS / 1000 <= run(scenario()) < 1
