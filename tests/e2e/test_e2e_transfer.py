"""Large bodies arrive whole, and no process keeps more of them in memory than its windows allow."""

import asyncio
import hashlib
import os
import time

import pytest
from e2e_data import BLOCK_BYTES, MIB, blocks, digest
from e2e_visitor import Visitor, run

SIZE = 200 * MIB
MAX_GROWTH_BYTES = 64 * MIB
# Slow at first, for long enough that a sender without backpressure would be far ahead, then as fast as it goes.
SLOW_BYTES = 12 * MIB
SLOW_RATE = 8 * MIB
LONG_SLOW_RATE = 20 * MIB
NARROW_RECEIVE_BYTES = 64 * 1024


@pytest.fixture(scope="module")
def digest_of_all() -> str:
    return digest(SIZE)


@pytest.fixture(scope="module")
def peaks_after_warm_up(fresh_tunnel) -> dict[str, int | None]:
    """The peak of each process once it has moved a small body each way: modules loaded, buffers in place."""
    run(download(fresh_tunnel.ingress, MIB))
    run(upload(fresh_tunnel.ingress, MIB))
    return peaks(fresh_tunnel)


def peaks(topology) -> dict[str, int | None]:
    return {name: process.peak_memory_bytes() for name, process in topology.processes.items()}


@pytest.fixture
def flat_memory(fresh_tunnel, peaks_after_warm_up, measured):
    """Assert after the test that no process of the tunnel has grown by more than its windows."""
    start = time.monotonic()
    yield
    elapsed = time.monotonic() - start
    if None in peaks_after_warm_up.values():
        pytest.skip("checksums are equal, but no /proc tells the peak of memory here")
    growth = {name: peak - peaks_after_warm_up[name] for name, peak in peaks(fresh_tunnel).items()}
    told = ", ".join(f"{name} +{bytes_ / MIB:.1f} MiB" for name, bytes_ in growth.items())
    measured(f"{SIZE / MIB / elapsed:.0f} MiB/s, {elapsed:.1f} s; {told}")
    assert {name: bytes_ for name, bytes_ in growth.items() if bytes_ >= MAX_GROWTH_BYTES} == {}


async def download(ingress, size: int, *, rate: float = 0, rate_bytes: int = 0) -> str:
    """Download `size` bytes, the first `rate_bytes` of them at `rate` bytes a second; return their checksum."""
    sha256, received, start = hashlib.sha256(), 0, time.monotonic()
    narrow = NARROW_RECEIVE_BYTES if rate else None
    async with await Visitor.connect(ingress, receive_buffer_bytes=narrow) as visitor:
        await visitor.send_head("GET", f"/download?bytes={size}")
        response = await visitor.head()
        assert response.status == 200
        async for piece in visitor.body(response):
            sha256.update(piece)
            received += len(piece)
            if rate and received <= rate_bytes:
                await asyncio.sleep(start + received / rate - time.monotonic())
    assert size == received
    return sha256.hexdigest()


async def upload(ingress, size: int, *, rate: float = 0, rate_bytes: int = 0, chunked: bool = False) -> str:
    """Upload `size` bytes to an upstream that reads the first `rate_bytes` slowly; return the checksum it tells."""
    framing = ("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(size))
    async with await Visitor.connect(ingress) as visitor:
        await visitor.send_head("POST", f"/upload?rate={rate}&rate_bytes={rate_bytes}", [framing])
        for block in blocks(size):
            await visitor.send(b"%x\r\n%b\r\n" % (len(block), block) if chunked else block)
        if chunked:
            await visitor.send(b"0\r\n\r\n")
        response = await visitor.response()
    assert response.status == 200
    assert size == response.json()["bytes"]
    return response.json()["sha256"]


@pytest.mark.usefixtures("flat_memory")
def test_large_download_arrives_whole_in_flat_memory(fresh_tunnel, digest_of_all):
    assert digest_of_all == run(download(fresh_tunnel.ingress, SIZE))


@pytest.mark.usefixtures("flat_memory")
def test_large_upload_arrives_whole_in_flat_memory(fresh_tunnel, digest_of_all):
    assert digest_of_all == run(upload(fresh_tunnel.ingress, SIZE))


def test_chunked_upload_arrives_whole(fresh_tunnel):
    size = 5 * BLOCK_BYTES + 17

    assert digest(size) == run(upload(fresh_tunnel.ingress, size, chunked=True))


@pytest.mark.usefixtures("flat_memory")
def test_visitor_slower_than_the_upstream_does_not_fill_memory(fresh_tunnel, digest_of_all):
    slow = download(fresh_tunnel.ingress, SIZE, rate=SLOW_RATE, rate_bytes=SLOW_BYTES)

    assert digest_of_all == run(slow)


@pytest.mark.usefixtures("flat_memory")
def test_upstream_slower_than_the_visitor_does_not_fill_memory(fresh_tunnel, digest_of_all):
    slow = upload(fresh_tunnel.ingress, SIZE, rate=SLOW_RATE, rate_bytes=SLOW_BYTES)

    assert digest_of_all == run(slow)


@pytest.mark.full
@pytest.mark.usefixtures("flat_memory")
@pytest.mark.parametrize("direction", [download, upload])
def test_reader_slow_to_the_end_does_not_fill_memory(fresh_tunnel, digest_of_all, direction):
    assert digest_of_all == run(direction(fresh_tunnel.ingress, SIZE, rate=LONG_SLOW_RATE, rate_bytes=SIZE))


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="no /proc tells the peak of memory here")
def test_memory_of_every_process_is_watched(fresh_tunnel, peaks_after_warm_up, requires_tunnel):
    """Without this, an empty dictionary would pass for flat memory."""
    assert fresh_tunnel.processes.keys() == peaks_after_warm_up.keys()
    assert all(peak > MIB for peak in peaks_after_warm_up.values())
