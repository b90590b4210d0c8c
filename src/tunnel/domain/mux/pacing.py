"""How much may be on its way: transports swallow megabytes before they push back, and control would queue behind them.

1. Bytes sent on a link and not acknowledged stay below ``max(allowance, 2 x delivery rate x shortest round trip)``.
2. The allowance is what the link delivers in a quarter of a second, between 32 and 512 KiB: on a narrow link whoever
   has little to say would wait for all that is on its way. It starts at 320 KiB, and grows with the first sample that
   says so. It shrinks only when the link has been full for two seconds, since a link that is asked for little delivers
   little.
3. The delivery rate is the largest seen over the last two periods of a second; a sample is what was delivered between
   sending a frame and its acknowledgement, over the time that took.
4. The shortest round trip is the smallest of pings and acknowledgements on this link. When none has confirmed it for
   ten seconds, what is in flight drains to 256 KiB, or to half of an allowance that has shrunk, and the next sample
   sent from then on takes its place. On a link that is always full every sample has waited in its queue; to believe
   such a sample would let the queue grow, and the next sample with it.
"""

from __future__ import annotations

from tunnel.domain.limits import KIB, MAX_CHUNK_COST

__all__ = ["INITIAL_ALLOWANCE_BYTES", "LEAST_ALLOWANCE_BYTES", "MOST_ALLOWANCE_BYTES", "LinkPacing"]

INITIAL_ALLOWANCE_BYTES = 320 * KIB
"""A chunk more than makes a peer acknowledge at once."""
LEAST_ALLOWANCE_BYTES = 32 * KIB
MOST_ALLOWANCE_BYTES = 512 * KIB
_ALLOWANCE_S = 0.25
"""More than a round trip and the delay of an acknowledgement, so that a narrow link is never idle for want of one."""
_FULL_FOR_S = 2.0
"""Longer than a connection takes to find out what a long way can carry."""
_CHUNKS = 4
"""Chunks that fit the allowance, so that several conversations share it."""
_RATE_PERIOD_S = 1.0
_CONFIRMED_FOR_S = 10.0
_DRAINED_BYTES = 256 * KIB
"""As much as makes a peer acknowledge at once: less would measure its delay in acknowledging. Where that is not to be
had, the delay is little beside what the rest takes."""
_UNKNOWN_ROUND_TRIP_S = 0.05


class LinkPacing:
    """Limits the bytes in flight on one link, and keeps its round trip."""

    __slots__ = (
        "_allowance",
        "_clean_from",
        "_confirmed_until",
        "_draining",
        "_full_since",
        "_older_rate",
        "_rate",
        "_rate_until",
        "chunk_cost",
        "delivered",
        "in_flight",
        "limit",
        "round_trip_s",
        "smoothed_round_trip_s",
    )

    def __init__(self, now: float) -> None:
        self.delivered = 0
        self.restart(now)

    def restart(self, now: float) -> None:
        """Another link was attached: nothing is known of it yet, and nothing on its way."""
        self.in_flight = 0
        self.limit = self._allowance = INITIAL_ALLOWANCE_BYTES
        self.chunk_cost = MAX_CHUNK_COST
        """Most that a chunk had better cost, so that it does not keep others waiting for long."""
        self._full_since: float | None = None
        """Since when there was always more to send than might be on its way."""
        self._rate = self._older_rate = 0.0
        self._rate_until = now + _RATE_PERIOD_S
        self._confirmed_until: float | None = None
        """Until when the shortest round trip is believed; None before the first is known."""
        self._draining = False
        self._clean_from: float | None = None
        self.round_trip_s = _UNKNOWN_ROUND_TRIP_S
        """The shortest round trip; a guess before the first is known."""
        self.smoothed_round_trip_s = _UNKNOWN_ROUND_TRIP_S
        """The usual round trip, delayed acknowledgements and busy processes included."""

    @property
    def known(self) -> bool:
        """Whether a round trip was measured since the link was attached."""
        return self._confirmed_until is not None

    @property
    def room(self) -> int:
        """Cost of data that may still be sent; negative when the limit shrank below what is on its way."""
        return self.limit - self.in_flight

    @property
    def wide(self) -> bool:
        """Whether the link is known to deliver enough for frames of several chunks."""
        return self._allowance > INITIAL_ALLOWANCE_BYTES

    def sent(self, cost: int) -> None:
        """A counted frame of ``cost`` was handed to the link."""
        self.in_flight += cost

    def acknowledged(self, cost: int, *, sent_at: float, delivered_before: int, now: float) -> None:
        """``cost`` was acknowledged; the last frame of it had been sent at ``sent_at``."""
        full = 2 * self.in_flight > self.limit and self.in_flight > cost
        self.in_flight -= cost
        self.delivered += cost
        elapsed = now - sent_at
        if now >= self._rate_until:
            self._older_rate = self._rate if now < self._rate_until + _RATE_PERIOD_S else 0.0
            self._rate = 0.0
            self._rate_until = now + _RATE_PERIOD_S
        if elapsed > 0:
            self._rate = max(self._rate, (self.delivered - delivered_before) / elapsed)
        self.round_trip(elapsed, now)
        rate = max(self._rate, self._older_rate)
        self._allow(rate, full=full, sent_at=sent_at, now=now)
        if self._draining:
            self.limit = self._drained_bytes
        else:
            self.limit = max(self._allowance, int(2 * rate * self.round_trip_s))

    def _allow(self, rate: float, *, full: bool, sent_at: float, now: float) -> None:
        if not full:
            self._full_since = None
        elif self._full_since is None:
            self._full_since = sent_at
        allowance = min(MOST_ALLOWANCE_BYTES, max(LEAST_ALLOWANCE_BYTES, int(rate * _ALLOWANCE_S)))
        slow = self._full_since is not None and now - self._full_since >= _FULL_FOR_S
        self._allowance = allowance if slow else max(allowance, self._allowance)
        self.chunk_cost = min(MAX_CHUNK_COST, self._allowance // _CHUNKS)

    @property
    def _drained_bytes(self) -> int:
        return _DRAINED_BYTES if self._allowance >= INITIAL_ALLOWANCE_BYTES else self._allowance // 2

    def round_trip(self, sample_s: float, now: float) -> None:
        """Take note of one round trip that ended ``now``."""
        self.smoothed_round_trip_s += (sample_s - self.smoothed_round_trip_s) / 8
        confirmed_until = self._confirmed_until
        clean = self._draining and self._clean_from is not None and now - sample_s >= self._clean_from
        if clean or confirmed_until is None or sample_s <= self.round_trip_s:
            self.round_trip_s = sample_s
            self._confirmed_until = now + _CONFIRMED_FOR_S
            self._draining = False
            self._clean_from = None
        elif now >= confirmed_until:
            self._draining = True
            if self._clean_from is None and self.in_flight <= self._drained_bytes:
                self._clean_from = now
