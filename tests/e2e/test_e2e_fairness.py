"""A conversation that stands still does not hold up the others."""

import asyncio
import hashlib
import math
import time

from e2e_data import MIB, digest
from e2e_visitor import READ_BYTES, Visitor, exchange_state, run

STALLED_BYTES = 64 * MIB
# Far above a session's first window; the upstream has sent this much and can send no more.
PENDING_BYTES = MIB
WORKERS = 4
REQUESTS = 200
LEAST_ROUNDS = 3
MOST_ROUNDS = 20


async def latencies(visitors: list[Visitor]) -> list[float]:
    """Send `REQUESTS` small requests over kept-alive connections; return how long each took."""

    async def work(visitor: Visitor) -> list[float]:
        taken = []
        for _ in range(REQUESTS // len(visitors)):
            start = time.perf_counter()
            assert (await visitor.get("/small")).body == b"small"
            taken.append(time.perf_counter() - start)
        return taken

    return [taken for part in await asyncio.gather(*map(work, visitors)) for taken in part]


def p99(samples: list[float]) -> float:
    return sorted(samples)[math.ceil(len(samples) * 0.99) - 1]


def is_delayed(baseline_s: float, beside_s: float) -> bool:
    return beside_s > 1.5 * baseline_s + 0.002


async def start_stalled(ingress, upstream, exchange: str) -> Visitor:
    """Ask for a large download, read nothing of it, and wait until everything on its way is full."""
    visitor = await Visitor.connect(ingress, receive_buffer_bytes=READ_BYTES)
    await visitor.send_head("GET", f"/download?bytes={STALLED_BYTES}&id={exchange}")
    state = await exchange_state(upstream, exchange, until="blocked")
    assert PENDING_BYTES < state["sent"] < STALLED_BYTES
    return visitor


def test_stalled_download_does_not_delay_other_requests(tunnel, upstream, measured):
    # Rounds with and without the stalled download alternate. The machine can only add to what either takes, so the
    # best round of each kind counts; on a busy machine it takes more rounds to see that one is as good as the other.
    async def scenario():
        baseline_s = beside_s = math.inf
        workers = [await Visitor.connect(tunnel.ingress) for _ in range(WORKERS)]
        await latencies(workers)
        for number in range(MOST_ROUNDS):
            exchange = f"stalled-{number}-{tunnel.name}"
            baseline_s = min(baseline_s, p99(await latencies(workers)))
            stalled = await start_stalled(tunnel.ingress, upstream, exchange)
            beside_s = min(beside_s, p99(await latencies(workers)))
            if number + 1 >= LEAST_ROUNDS and not is_delayed(baseline_s, beside_s):
                break
            await stalled.leave()
            await exchange_state(upstream, exchange, until="cancelled")
        else:
            stalled = await start_stalled(tunnel.ingress, upstream, f"stalled-{tunnel.name}")
        sha256 = hashlib.sha256()
        async with stalled:
            async for piece in stalled.body(await stalled.head()):
                sha256.update(piece)
        for worker in workers:
            await worker.leave()
        return number + 1, baseline_s, beside_s, sha256.hexdigest()

    rounds, baseline_s, beside_s, checksum = run(scenario())

    measured(
        f"p99 {baseline_s * 1000:.2f} ms alone, {beside_s * 1000:.2f} ms beside a stalled download, {rounds} rounds"
    )
    assert not is_delayed(baseline_s, beside_s)
    assert digest(STALLED_BYTES) == checksum
