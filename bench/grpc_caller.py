"""Makes gRPC calls, in a process of its own: ``python -m bench.grpc_caller ADDRESS METHOD CALLERS SECONDS``.

1. Connects, and has one call answered. Prints ``ready``.
2. When a line comes on its standard input, so many callers make calls, each the next when the last is over, for so many
   seconds. Those under way then are finished.
3. Prints one JSON object: the fields of ``samples.Result``. Calls of /bench.Echo/Unary count one each, and of
   /bench.Echo/Stream, whatever the number of messages that came.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Final

import grpc
import uvloop

from bench.call_load import MESSAGE, STREAM, STREAM_MESSAGES, UNARY
from bench.samples import percentile

_CALL_S: Final = 30.0
_MS_PER_S: Final = 1000

Call = Callable[[], Awaitable[int]]
"""Makes one call; returns what it counts."""


def _calls(channel: grpc.aio.Channel) -> dict[str, Call]:
    unary: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(UNARY, None, None)
    stream: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(STREAM, None, None)

    async def call_unary() -> int:
        answer = await unary(MESSAGE, timeout=_CALL_S)
        return int(answer == MESSAGE)

    async def call_stream() -> int:
        count = 0
        async for _ in stream(b"%d" % STREAM_MESSAGES, timeout=_CALL_S):
            count += 1
        return count

    return {UNARY: call_unary, STREAM: call_stream}


async def _call(call: Call, until: float, latencies_ms: list[float]) -> tuple[int, int]:
    """Call until time is up; what was counted, and how many calls failed."""
    done = failed = 0
    while (since := time.perf_counter()) < until:
        try:
            done += await call()
        except grpc.aio.AioRpcError:
            failed += 1
        else:
            latencies_ms.append((time.perf_counter() - since) * _MS_PER_S)
    return done, failed


async def _run(address: str, method: str, *, callers: int, seconds: float) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        calls = _calls(channel)
        await calls[UNARY]()
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        since, latencies_ms = time.perf_counter(), list[float]()
        counts = await asyncio.gather(*(_call(calls[method], since + seconds, latencies_ms) for _ in range(callers)))
        result = {
            "done": sum(done for done, _ in counts),
            "elapsed_s": time.perf_counter() - since,
            "p50_ms": percentile(latencies_ms, 50),
            "p99_ms": percentile(latencies_ms, 99),
            "failed": sum(failed for _, failed in counts),
        }
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    uvloop.run(_run(*sys.argv[1:3], callers=int(sys.argv[3]), seconds=float(sys.argv[4])))
