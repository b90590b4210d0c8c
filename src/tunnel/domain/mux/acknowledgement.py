"""What arrived and when to say so."""

from __future__ import annotations

from tunnel.domain.limits import KIB

__all__ = ["Acknowledgement"]

_AFTER_FRAMES = 64
_AFTER_BYTES = 256 * KIB
_AFTER_S = 0.05


class Acknowledgement:
    """Counts frames taken in; every frame sent carries the count, and an ack-only frame goes when none is sent.

    An ack-only frame is due after 64 frames, ``min(256 KiB, replay window / 4)`` or 50 ms unacknowledged.
    """

    __slots__ = ("_after_bytes", "_bytes", "_frames", "_since", "due", "received")

    def __init__(self, peer_replay_window_bytes: int) -> None:
        self.received = 0
        """Highest ``seq`` taken in."""
        self.due = False
        self._after_bytes = min(_AFTER_BYTES, peer_replay_window_bytes // 4)
        self._frames = 0
        self._bytes = 0
        self._since: float | None = None

    def took(self, cost: int, now: float) -> None:
        """A counted frame of ``cost`` was taken in whole."""
        self.received += 1
        self._frames += 1
        self._bytes += cost
        if self._since is None:
            self._since = now
        if self._frames >= _AFTER_FRAMES or self._bytes >= self._after_bytes:
            self.due = True

    def told(self) -> None:
        """A frame carrying ``received`` was handed to the link."""
        self.due = False
        self._frames = self._bytes = 0
        self._since = None

    @property
    def deadline(self) -> float | None:
        """When an ack-only frame is due; None while everything is acknowledged or one is due already."""
        return None if self._since is None or self.due else self._since + _AFTER_S

    def tick(self, now: float) -> None:
        """Time passed."""
        if self._since is not None and now >= self._since + _AFTER_S:
            self.due = True
