"""Whether the link is alive, and asking it."""

from __future__ import annotations

__all__ = ["Heartbeat"]

_MISSED = 3
"""Heartbeats without a sign of life after which a link is dead."""


class Heartbeat:
    """Pings every ``interval_s``, one at a time; any valid frame proves life.

    A link is dead when nothing came for three intervals, or when counted frames stayed unacknowledged without
    progress for three intervals.
    """

    __slots__ = ("_awaiting", "_heard", "_interval_s", "_next_ping", "_nonce", "_progress", "ping_due")

    def __init__(self, interval_s: float, now: float) -> None:
        self._interval_s = interval_s
        self._next_ping = now + interval_s
        self._heard = now
        self._progress: float | None = None
        self._nonce = 0
        self._awaiting: tuple[int, float] | None = None
        self.ping_due = False

    def restart(self, now: float, *, unacknowledged: bool) -> None:
        """Another link was attached: what was asked on the one before is not awaited any more."""
        self._heard = now
        self._next_ping = now + self._interval_s
        self._awaiting = None
        self.ping_due = False
        self.progress(now, unacknowledged=unacknowledged)

    def heard(self, now: float) -> None:
        """A valid frame arrived."""
        self._heard = now

    def progress(self, now: float, *, unacknowledged: bool) -> None:
        """Frames were acknowledged, or the first one since was sent."""
        self._progress = now if unacknowledged else None

    @property
    def stalled_since(self) -> float | None:
        """Since when acknowledgement is awaited without progress."""
        return self._progress

    def ping(self, now: float) -> int:
        """The nonce of the ping that goes out now."""
        self.ping_due = False
        self._nonce += 1
        self._awaiting = (self._nonce, now)
        return self._nonce

    def pong(self, nonce: int, now: float) -> float | None:
        """A pong came; the round trip in seconds, None when it answers no outstanding ping."""
        if self._awaiting is None or self._awaiting[0] != nonce:
            return None
        sent_at = self._awaiting[1]
        self._awaiting = None
        return now - sent_at

    @property
    def deadline(self) -> float:
        """When ``tick`` has something to do next."""
        dead = self._heard + _MISSED * self._interval_s
        if self._progress is not None:
            dead = min(dead, self._progress + _MISSED * self._interval_s)
        return min(dead, self._next_ping)

    def tick(self, now: float) -> str | None:
        """Time passed; why the link is dead, None while it is not."""
        patience_s = _MISSED * self._interval_s
        if now - self._heard >= patience_s:
            return f"nothing heard for {now - self._heard:.1f} s"
        if self._progress is not None and now - self._progress >= patience_s:
            return f"no frame acknowledged for {now - self._progress:.1f} s"
        if now >= self._next_ping:
            self._next_ping = now + self._interval_s
            self.ping_due = self._awaiting is None
        return None
