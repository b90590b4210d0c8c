"""Server-sent events to many subscribers.

1. So many subscribers open an event stream through the lane, each over its own connection.
2. An event is published at the upstream, past the lane; the upstream writes it to every stream.
3. When the last subscriber has it, the next one is published, until time is up.

A delivery is one event at one subscriber; its latency counts from the moment of publishing. The subscribers are Python
too, and cost about as much for every lane.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final, cast

import httptools
import uvloop

from bench.accounting import Meter
from bench.lanes import Entrance, Lane
from bench.processes import Failed
from bench.samples import Result, percentile
from bench.upstream_server import EVENT
from bench.visitor import request_head

__all__ = ["run_events"]

_OPEN_S: Final = 20.0
_EVENT_S: Final = 10.0
"""For an event to reach everybody."""

_MS_PER_S: Final = 1000


class _Fanout:
    """Who still waits for the event under way, and what was measured so far."""

    def __init__(self, subscribers: int) -> None:
        self.subscribers: Final = subscribers
        self.latencies_ms: Final[list[float]] = []
        self.lost = 0
        self._published_at = 0.0
        self._left = subscribers
        self._reached = asyncio.Event()

    def publish_now(self) -> None:
        self._left = self.subscribers
        self._published_at = time.perf_counter()

    def delivered(self) -> None:
        self.latencies_ms.append((time.perf_counter() - self._published_at) * _MS_PER_S)
        self.arrived()

    def arrived(self) -> None:
        """One subscriber less to wait for: its stream is open, or it has the event."""
        self._left -= 1
        if self._left == 0:
            self._reached.set()

    def lose(self) -> None:
        self.lost += 1
        self._reached.set()

    async def reached(self, timeout_s: float) -> None:
        """Wait until all have it."""
        try:
            await asyncio.wait_for(self._reached.wait(), timeout_s)
        except TimeoutError:
            raise Failed(f"{self._left} of {self.subscribers} subscribers wait in vain") from None
        if self.lost:
            raise Failed("a subscriber's stream was closed")
        self._reached.clear()


class _Subscriber(asyncio.Protocol):
    def __init__(self, request: bytes, fanout: _Fanout) -> None:
        self._request = request
        self._fanout = fanout
        self._parser = httptools.HttpResponseParser(self)
        self._held_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fanout.lose()

    def on_headers_complete(self) -> None:
        self._fanout.arrived()

    def on_body(self, body: bytes) -> None:
        self._held_bytes += len(body)
        while self._held_bytes >= len(EVENT):
            self._held_bytes -= len(EVENT)
            self._fanout.delivered()


def run_events(lane: Lane, meter: Meter, *, subscribers: int, seconds: float) -> Result:
    """Publish for ``seconds``. Counts deliveries.

    Raises:
        Failed: A stream cannot be opened or is closed, or an event does not arrive.
    """
    return uvloop.run(_run(lane, meter, subscribers=subscribers, seconds=seconds))


async def _run(lane: Lane, meter: Meter, *, subscribers: int, seconds: float) -> Result:
    fanout = _Fanout(subscribers)
    entrance = lane.entrances["streams"]
    request = request_head(entrance, "/events")
    publication = request_head(Entrance(lane.publisher), "/publish", method="POST")
    try:
        transports = [
            await _connect(entrance.address, lambda: _Subscriber(request, fanout)) for _ in range(subscribers)
        ]
        await fanout.reached(_OPEN_S)
        publisher = await _connect(lane.publisher, asyncio.Protocol)
    except OSError as exc:
        raise Failed(f"events: {exc}") from exc
    with meter:
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            fanout.publish_now()
            publisher.write(publication)
            await fanout.reached(_EVENT_S)
    for transport in (*transports, publisher):
        transport.abort()
    return Result(
        done=len(fanout.latencies_ms),
        elapsed_s=meter.elapsed_s,
        p50_ms=percentile(fanout.latencies_ms, 50),
        p99_ms=percentile(fanout.latencies_ms, 99),
    )


async def _connect(address: str, make: Callable[[], asyncio.Protocol]) -> asyncio.Transport:
    host, _, port = address.rpartition(":")
    transport, _ = await asyncio.get_running_loop().create_connection(make, host, int(port))
    return transport
