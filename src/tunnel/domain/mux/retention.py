"""Counted frames kept until the peer acknowledges them, so that they can be sent again on another link.

1. A frame is kept from when it is framed until it is acknowledged, its boundaries unchanged.
2. When another link is attached, what the peer says it has received is acknowledged thereby, and everything after that
   is to be handed over again, in order, before any new frame.
3. So the frames kept are of two kinds: those handed to the attached link, which the peer may acknowledge, and after
   them those that it cannot know of on this link yet.
"""

from __future__ import annotations

from collections import deque

from tunnel.domain.envelopes import Frame
from tunnel.domain.limits import MIB

__all__ = ["CONTROL_RESERVE_BYTES", "RetainedFrame", "Retention"]

CONTROL_RESERVE_BYTES = MIB
"""Unacknowledged control that is kept beside the replay window, so that a full window never stops control."""


class RetainedFrame:
    """One frame awaiting acknowledgement, with what the pacing needs to learn from it."""

    __slots__ = ("control_cost", "cost", "delivered_before", "frame", "sent_at")

    def __init__(self, frame: Frame, cost: int, control_cost: int, sent_at: float, delivered_before: int) -> None:
        self.frame = frame
        self.cost = cost
        self.control_cost = control_cost
        self.sent_at = sent_at
        self.delivered_before = delivered_before


class Retention:
    """What was sent and not acknowledged.

    Data and openings count against ``window_bytes``; counted control against a reserve of its own.
    """

    __slots__ = ("_again", "_frames", "acked", "control_cost", "cost", "sent", "window_bytes")

    def __init__(self, window_bytes: int) -> None:
        self.window_bytes = window_bytes
        self.sent = 0
        """Highest ``seq`` framed."""
        self.acked = 0
        self.cost = 0
        self.control_cost = 0
        self._frames: deque[RetainedFrame] = deque()
        self._again: deque[RetainedFrame] = deque()

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def room(self) -> int:
        """Cost of data that may still be framed."""
        return self.window_bytes - self.cost

    def keep(self, retained: RetainedFrame) -> None:
        """Keep a frame just framed; its ``seq`` is the next one."""
        self.sent = retained.frame.seq
        self.cost += retained.cost
        self.control_cost += retained.control_cost
        self._frames.append(retained)

    @property
    def handed(self) -> int:
        """Highest ``seq`` handed to the attached link, or acknowledged before: the most that can be acknowledged."""
        return self._again[0].frame.seq - 1 if self._again else self.sent

    @property
    def again(self) -> RetainedFrame | None:
        """The frame to hand to the attached link again next, before any new one; None when none is left."""
        return self._again[0] if self._again else None

    def attached(self) -> None:
        """Another link was attached: everything kept is to be handed over again."""
        self._again = self._frames.copy()

    def handed_again(self) -> None:
        """``again`` was handed over."""
        self._again.popleft()

    def acknowledge(self, ack: int) -> RetainedFrame | None:
        """Forget everything up to ``ack``; the last frame that was forgotten, None for nothing new.

        The caller has checked that ``ack`` is not above ``handed``.
        """
        last = None
        frames = self._frames
        while frames and frames[0].frame.seq <= ack:
            last = frames.popleft()
            self.cost -= last.cost
            self.control_cost -= last.control_cost
        if last is not None:
            self.acked = last.frame.seq
        return last

    def clear(self) -> None:
        """Forget everything: the tunnel has ended."""
        self._frames.clear()
        self._again.clear()
        self.acked = self.sent
        self.cost = self.control_cost = 0
