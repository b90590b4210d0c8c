"""Two ends over a slow link, on a clock of their own: control does not queue behind bulk."""

from __future__ import annotations

import heapq
import statistics
from dataclasses import dataclass, field

import pytest

from tunnel.domain.envelopes import BodyChunk, Frame, HttpRequest, HttpResponse, Ping, Pong
from tunnel.domain.limits import KIB, MIB, Limits
from tunnel.domain.messagepack import encode_frame
from tunnel.domain.mux.multiplexer import Multiplexer
from tunnel.domain.mux.session import Session

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


@dataclass
class Page:
    """Downloads without end through a client behind a narrow link, and once a second something small beside them."""

    link: SlowLink
    downloads: int
    waits_s: list[tuple[float, float]] = field(default_factory=list)
    """When each small thing was asked for, and how long it took."""
    received_bytes: int = 0

    def __post_init__(self) -> None:
        self.server, self.client = (
            Multiplexer(opens_odd=odd, local=Limits(), remote=Limits(), budget=None, now=0.0) for odd in (False, True)
        )
        self.wanted = [self.server.open(HttpRequest("GET", end=True), 0.0) for _ in range(self.downloads)]
        self.served: list[Session] = []
        self.asked: dict[Session, float] = {}
        self.now = 0.0

    def run(self, until_s: float) -> None:
        now = self.now
        second = now + 1.0
        while now < until_s:
            if now >= second:
                self.asked[self.server.open(HttpRequest("HEAD", end=True), now)] = now
                second += 1.0
            for end, mux in enumerate((self.server, self.client)):
                self.offer()
                while (frame := mux.next_frame(now)) is not None:
                    self.link.send(end, frame, now)
                    self.offer()
                mux.framed.clear()
            now = max(now, min(self.server.deadline, self.client.deadline, second))
            if self.link.on_the_way and self.link.on_the_way[0][0] <= now:
                now, _, end, frame = heapq.heappop(self.link.on_the_way)
                self.take((self.server, self.client)[end], frame, now)
            assert [mux.tick(now) for mux in (self.server, self.client)] == [None, None]
        self.now = now

    def offer(self) -> None:
        for session in self.served:
            if session.pending is None:
                session.offer_pieces(BodyChunk(BLOCK[: 192 * KIB]))

    def take(self, mux: Multiplexer, frame: Frame, now: float) -> None:
        received = mux.receive(frame, now)
        assert received.violation is None
        for session in received.opened:
            if isinstance(session.head, HttpRequest) and session.head.method == "HEAD":
                session.offer(HttpResponse(200, end=True))
            else:
                session.offer(HttpResponse(200))
                self.served.append(session)
        for session in [each for each in self.asked if each.take(now) is not None]:
            since = self.asked.pop(session)
            self.waits_s.append((since, now - since))
            session.finish()
        for session in self.wanted:
            while (payload := session.take(now)) is not None:
                self.received_bytes += payload.carried_bytes


@pytest.mark.rule("N11")
@pytest.mark.parametrize(
    ("rate", "downloads", "usual_s", "longest_s"),
    [
        (12e3, 1, 5.0, 15.0),
        (125e3, 1, 0.7, 3.5),
        (125e3, 4, 1.2, 4.0),
        (500e3, 4, 0.8, 1.3),
        (1e6, 4, 0.8, 1.0),
    ],
)
def test_small_things_do_not_wait_for_long_beside_downloads_on_a_narrow_link(
    rate: float, downloads: int, usual_s: float, longest_s: float
) -> None:
    page = Page(SlowLink(rate, 0.03), downloads)
    page.run(60.0)
    waits_s = sorted(wait_s for _, wait_s in page.waits_s)
    late_s = [wait_s for asked_at, wait_s in page.waits_s if asked_at > 20.0]
    assert len(waits_s) > 50
    assert max(waits_s) < longest_s
    assert statistics.median(late_s) < usual_s
    assert page.received_bytes > 0.9 * 60 * rate


@pytest.mark.rule("N11")
def test_link_that_was_narrow_is_filled_again_when_it_has_become_wide() -> None:
    page = Page(SlowLink(125e3, 0.03), 2)
    page.run(20.0)
    before = page.received_bytes
    page.link.rate = 50e6
    page.run(23.0)
    assert page.received_bytes - before > 20e6
