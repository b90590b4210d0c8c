"""WebSockets that stay open and say nothing: what each of them holds in memory.

1. A few are opened first, so that what the first of its kind needs once is not counted.
2. The others are opened, some at a time, no faster than ``_PER_S``, and no longer than ``_OPENING_S``.
3. All of them stay for a while. What a process has grown by since step 1, divided by their number, is the figure.
"""

from __future__ import annotations

import asyncio
import resource
import time
from typing import Final, cast

import uvloop

from bench.accounting import Meter
from bench.lanes import Entrance, Lane
from bench.processes import Failed
from bench.samples import Result, percentile
from bench.websocket_frames import ACCEPTED, handshake

__all__ = ["reachable_sockets", "run_idle"]

_FIRST: Final = 100
_AT_ONCE: Final = 20
_PER_S: Final = 1000
_OPEN_S: Final = 20.0
_OPENING_S: Final = 30.0
"""For all; some peers need ever longer for each."""

_OTHER_FILES: Final = 300
"""Open files of a process beside those of the sockets, generously."""

_MS_PER_S: Final = 1000


def reachable_sockets(wanted: int) -> int:
    """How many the limit on open files allows: a tunnel in one process has two ends of each."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return wanted
    return max(1, min(wanted, (files - _OTHER_FILES) // 2 - _FIRST))


class _Idler(asyncio.Protocol):
    def __init__(self, opening: bytes) -> None:
        self._opening = opening
        self._received = b""
        self.lost = False
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(self._opening)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._received.endswith(b"\r\n\r\n") and self._received.startswith(ACCEPTED) and not self.opened.done():
            self.opened.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        if not self.opened.done():
            self.opened.set_exception(Failed(f"a WebSocket was not accepted: {self._received[:80]!r}"))


def run_idle(lane: Lane, meter: Meter, *, sockets: int, seconds: float) -> Result:
    """Open ``sockets``, or as many as ``_OPENING_S`` suffices for, and leave them alone for ``seconds``.

    Counts those that are open then; refused and lost ones have failed.

    Raises:
        Failed: Not even the first few can be opened.
    """
    return uvloop.run(_run(lane.entrances["websockets"], meter, sockets=sockets, seconds=seconds))


async def _run(entrance: Entrance, meter: Meter, *, sockets: int, seconds: float) -> Result:
    first, others = _Crowd(entrance), _Crowd(entrance)
    try:
        await first.grow(_FIRST)
        if first.refused is not None:
            raise Failed(f"{entrance.address}: {first.refused!r}")
        with meter:
            since = time.perf_counter()
            await others.grow(sockets)
            elapsed_s = time.perf_counter() - since
            await asyncio.sleep(seconds)
        lost = sum(idler.lost for idler in others.idlers)
    finally:
        first.leave()
        others.leave()
    return Result(
        done=len(others.idlers) - lost,
        elapsed_s=elapsed_s,
        p50_ms=percentile(others.latencies_ms, 50),
        p99_ms=percentile(others.latencies_ms, 99),
        failed=lost + (others.refused is not None),
    )


class _Crowd:
    """Sockets that were opened one after another."""

    def __init__(self, entrance: Entrance) -> None:
        host, _, port = entrance.address.rpartition(":")
        self._address = host, int(port)
        self._opening = handshake(entrance)
        self.idlers: list[_Idler] = []
        self.latencies_ms: list[float] = []
        self.refused: BaseException | None = None
        """Why one could not be opened, after which no more were tried."""

    async def grow(self, count: int) -> None:
        """Open so many more, some at a time, until time is up or one cannot be opened."""
        since = time.perf_counter()
        for start in range(0, count, _AT_ONCE):
            some = min(_AT_ONCE, count - start)
            outcomes = await asyncio.gather(*(self._open() for _ in range(some)), return_exceptions=True)
            self.refused = next((outcome for outcome in outcomes if outcome is not None), None)
            if self.refused is not None or time.perf_counter() - since > _OPENING_S:
                break
            await asyncio.sleep(since + (start + some) / _PER_S - time.perf_counter())

    def leave(self) -> None:
        """Close them all."""
        for idler in self.idlers:
            idler.transport.abort()

    async def _open(self) -> None:
        since = time.perf_counter()
        loop = asyncio.get_running_loop()
        _, idler = await loop.create_connection(lambda: _Idler(self._opening), *self._address)
        try:
            await asyncio.wait_for(idler.opened, _OPEN_S)
        except (Failed, TimeoutError):
            idler.transport.abort()
            raise
        self.idlers.append(idler)
        self.latencies_ms.append((time.perf_counter() - since) * _MS_PER_S)
