"""Small requests over many connections, as fast as they are answered: by wrk, or by a generator of our own."""

from __future__ import annotations

import asyncio
import math
import re
import subprocess
import time
from typing import Final, cast

import uvloop

from bench.accounting import Meter
from bench.lanes import Entrance, Lane
from bench.processes import Failed, NotFound, program
from bench.samples import Result, percentile
from bench.visitor import request_head

__all__ = ["generator_name", "run_requests"]

_TIMEOUT_S: Final = 10
_PATIENCE_S: Final = 30
"""For wrk to end after its time is up."""

_UNIT_MS: Final = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


def generator_name() -> str:
    """What makes the load here."""
    try:
        program("wrk")
    except NotFound:
        return "asyncio (one process of Python: wrk not found)"
    return "wrk, one thread"


def run_requests(lane: Lane, meter: Meter, *, path: str, connections: int, seconds: float) -> Result:
    """Send GETs for ``seconds`` over ``connections``, each of which sends the next when it has the answer.

    wrk counts whole seconds, so it takes the next whole number of them.

    Raises:
        Failed: Nobody listens, or wrk fails.
    """
    entrance = lane.entrances["plain"]
    try:
        wrk = program("wrk")
    except NotFound:
        with meter:
            return uvloop.run(_generate(entrance, path, connections=connections, seconds=seconds))
    fields = (part for name, value in entrance.fields for part in ("-H", f"{name}: {value}"))
    command = [
        wrk,
        "-t1",
        f"-c{connections}",
        f"-d{math.ceil(seconds)}s",
        "--latency",
        "--timeout",
        f"{_TIMEOUT_S}s",
        *fields,
    ]
    try:
        with meter:
            done = subprocess.run(
                [*command, f"http://{entrance.address}{path}"],
                check=True,
                capture_output=True,
                text=True,
                timeout=seconds + _PATIENCE_S,
            )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as exc:
        raise Failed(f"wrk: {exc}") from exc
    return _read_report(done.stdout)


def _read_report(report: str) -> Result:
    total = re.search(r"(\d+) requests in", report)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", report)
    if total is None or rate is None:
        raise Failed(f"wrk wrote: {report[:200]!r}")
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", report)
    broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", report)
    requests, per_s = int(total[1]), float(rate[1])
    return Result(
        done=requests,
        elapsed_s=requests / per_s if per_s else 0.0,
        p50_ms=_latency_ms(report, 50),
        p99_ms=_latency_ms(report, 99),
        failed=int(refused[1] if refused else 0) + sum(map(int, broken.groups() if broken else ())),
    )


def _latency_ms(report: str, percent: int) -> float:
    match = re.search(rf"^\s+{percent}%\s+([\d.]+)(us|ms|s|m)$", report, re.MULTILINE)
    return float(match[1]) * _UNIT_MS[match[2]] if match else math.nan


class _Connection(asyncio.Protocol):
    """Sends a request, waits for its answer, and sends the next, until time is up."""

    def __init__(self, request: bytes, latencies_ms: list[float], until: float) -> None:
        self._request = request
        self._latencies_ms = latencies_ms
        self._until = until
        self._answer = b""
        self._sent_at = 0.0
        self.lost: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        """Whether the other side closed the connection, or answered something else than 200."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, separator, body = self._answer.partition(b"\r\n\r\n")
        length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
        if not separator or (length is not None and len(body) < int(length[1])):
            return
        now = time.perf_counter()
        if length is None or b" 200 " not in head[:16]:
            self._finish(failed=True)
            return
        self._latencies_ms.append((now - self._sent_at) * 1000)
        if now < self._until:
            self._send()
        else:
            self._finish(failed=False)

    def connection_lost(self, exc: Exception | None) -> None:
        self._finish(failed=True)

    def _send(self) -> None:
        self._answer = b""
        self._sent_at = time.perf_counter()
        self._transport.write(self._request)

    def _finish(self, *, failed: bool) -> None:
        if not self.lost.done():
            self.lost.set_result(failed)
            self._transport.close()


async def _generate(entrance: Entrance, path: str, *, connections: int, seconds: float) -> Result:
    host, _, port = entrance.address.rpartition(":")
    request, latencies_ms = request_head(entrance, path), list[float]()
    since = time.perf_counter()
    opened: list[_Connection] = []
    try:
        for _ in range(connections):
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: _Connection(request, latencies_ms, since + seconds), host, int(port)
            )
            opened.append(connection)
    except OSError as exc:
        raise Failed(f"{entrance.address}: {exc}") from exc
    ended, late = await asyncio.wait([connection.lost for connection in opened], timeout=seconds + _TIMEOUT_S)
    return Result(
        done=len(latencies_ms),
        elapsed_s=time.perf_counter() - since,
        p50_ms=percentile(latencies_ms, 50),
        p99_ms=percentile(latencies_ms, 99),
        failed=len(late) + sum(future.result() for future in ended),
    )
