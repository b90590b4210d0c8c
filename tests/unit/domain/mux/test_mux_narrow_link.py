"""Two ends over a slow link, on a clock of their own: control does not queue behind bulk."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

import pytest

from tunnel.domain.envelopes import BodyChunk, Frame, HttpRequest, HttpResponse, Ping, Pong
from tunnel.domain.limits import MIB, Limits
from tunnel.domain.messagepack import encode_frame
from tunnel.domain.mux.multiplexer import Multiplexer

BLOCK = bytes(MIB)


@dataclass
class SlowLink:
    """Frames arrive in order, each after those before it have been transmitted, and after the delay."""

    rate: float
    delay_s: float
    free_at: dict[int, float] = field(default_factory=dict)
    on_the_way: list[tuple[float, int, int, Frame]] = field(default_factory=list)
    sent: int = 0

    def send(self, sender: int, frame: Frame, now: float) -> None:
        start = max(now, self.free_at.get(sender, 0.0))
        self.free_at[sender] = start + len(encode_frame(frame)) / self.rate
        self.sent += 1
        heapq.heappush(self.on_the_way, (self.free_at[sender] + self.delay_s, self.sent, 1 - sender, frame))


@dataclass
class Download:
    """A client that always has more to send, and a server that reads at once."""

    link: SlowLink
    limits: Limits = field(default_factory=Limits)
    received_bytes: int = 0
    asked: dict[tuple[int, int], float] = field(default_factory=dict)
    waits_s: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ends = [
            Multiplexer(opens_odd=odd, local=self.limits, remote=self.limits, budget=None, now=0.0)
            for odd in (False, True)
        ]
        self.wanted = self.ends[0].open(HttpRequest("GET", end=True), 0.0)
        self.served = None

    def run(self, until_s: float) -> None:
        now = 0.0
        while now < until_s:
            self.offer()
            for end in (0, 1):
                self.pump(end, now)
            now = max(now, min(self.ends[0].deadline, self.ends[1].deadline))
            if self.link.on_the_way and self.link.on_the_way[0][0] <= now:
                now, _, end, frame = heapq.heappop(self.link.on_the_way)
                self.take(end, frame, now)
            assert [end.tick(now) for end in self.ends] == [None, None]

    def offer(self) -> None:
        if self.served is not None and self.served.pending is None:
            self.served.offer(BodyChunk(BLOCK[: self.served.send_window.chunk_cost - 256]))

    def pump(self, end: int, now: float) -> None:
        mux = self.ends[end]
        while (frame := mux.next_frame(now)) is not None:
            for envelope in frame.envelopes:
                if isinstance(envelope.payload, Ping):
                    self.asked[end, envelope.payload.nonce] = now
            self.link.send(end, frame, now)
            mux.framed.clear()
            if end:
                self.offer()

    def take(self, end: int, frame: Frame, now: float) -> None:
        for envelope in frame.envelopes:
            if isinstance(envelope.payload, Pong):
                self.waits_s.append(now - self.asked.pop((end, envelope.payload.nonce)))
        received = self.ends[end].receive(frame, now)
        assert received.violation is None
        if received.opened:
            self.served = received.opened[0]
            self.served.offer(HttpResponse(200))
        while end == 0 and (payload := self.wanted.take(now)) is not None:
            if isinstance(payload, BodyChunk):
                self.received_bytes += len(payload.data)


def test_heartbeats_are_answered_in_time_while_bulk_fills_a_narrow_link_for_minutes() -> None:
    download = Download(SlowLink(rate=1e6, delay_s=0.02))
    download.run(300)
    assert download.received_bytes > 0.95 * 300e6
    # Sixty intervals of five seconds, on both sides; what is in flight is bounded, so no ping waits long behind it.
    assert len(download.waits_s) >= 2 * 59
    assert max(download.waits_s) < 1.0


@pytest.mark.parametrize(("delay_s", "least"), [(0.05, 20e6), (0.01, 20e6)])
def test_long_link_is_filled_within_seconds(delay_s: float, least: float) -> None:
    download = Download(SlowLink(rate=1e9, delay_s=delay_s))
    download.run(3)
    before = download.received_bytes
    download = Download(SlowLink(rate=1e9, delay_s=delay_s))
    download.run(4)
    assert download.received_bytes - before >= least
