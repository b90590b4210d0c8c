"""Large bodies, one after another over one connection."""

from __future__ import annotations

import time
from typing import Final

from bench.accounting import Meter
from bench.lanes import Lane
from bench.processes import Failed
from bench.samples import Result, percentile
from bench.upstream_server import MIB
from bench.visitor import Visitor

__all__ = ["run_downloads", "run_uploads"]

_MS_PER_S: Final = 1000


def run_downloads(lane: Lane, meter: Meter, *, large_mib: int, seconds: float) -> Result:
    """Download large bodies until ``seconds`` are up, one at least. Counts MiB; latencies are of whole bodies.

    Raises:
        Failed: A body is not whole.
    """
    return _repeat(lane, meter, up=False, size_bytes=large_mib * MIB, seconds=seconds)


def run_uploads(lane: Lane, meter: Meter, *, large_mib: int, seconds: float) -> Result:
    """The same the other way; a body has arrived when the upstream has said how long it was."""
    return _repeat(lane, meter, up=True, size_bytes=large_mib * MIB, seconds=seconds)


def _repeat(lane: Lane, meter: Meter, *, up: bool, size_bytes: int, seconds: float) -> Result:
    durations_ms: list[float] = []
    try:
        with Visitor(lane.entrances["streams" if up else "plain"]) as visitor, meter:
            until = time.perf_counter() + seconds
            while not durations_ms or time.perf_counter() < until:
                since = time.perf_counter()
                got = visitor.upload("/upload", size_bytes) if up else visitor.download("/large")
                if got != size_bytes:
                    raise Failed(f"{got} of {size_bytes} bytes arrived")
                durations_ms.append((time.perf_counter() - since) * _MS_PER_S)
    except OSError as exc:
        raise Failed(f"{'upload' if up else 'download'}: {exc}") from exc
    return Result(
        done=len(durations_ms) * size_bytes / MIB,
        elapsed_s=meter.elapsed_s,
        p50_ms=percentile(durations_ms, 50),
        p99_ms=percentile(durations_ms, 99),
    )
