"""Which link a tunnel is attached to, and whether it outlives the loss of one.

1. Links are numbered as they are attached; what comes from any but the attached one does not count.
2. A tunnel that lost its link is kept for ``resume_s``, the smaller of what both sides announced.
3. It is not kept when three links in a row carried nothing to the peer: what was sent on them may be what ended them.
4. The server does not keep a tunnel in which nothing goes on, unless another link is there already. The client does:
   only the server knows whether something was under way to the client. For the same reason a server that takes sessions
   of the client's keeps it too.
"""

from __future__ import annotations

from typing import Final

__all__ = ["Attachments"]

_MAX_FRUITLESS: Final = 3
"""Attachments in a row during which nothing was acknowledged, although something waited to be."""


class Attachments:
    """The links of one tunnel, one after another. The first is attached from the start.

    Args:
        resume_s: How long the tunnel is kept without a link; 0: not at all.
        keeps_idle: Whether it is kept even when nothing goes on inside.
    """

    __slots__ = ("_acked", "_fruitless", "_keeps_idle", "_lost_at", "_resume_s", "current", "number")

    def __init__(self, resume_s: float, *, keeps_idle: bool) -> None:
        self.number = 1
        """Of the link attached last."""
        self.current = 1
        """Of the link attached now; 0 while there is none."""
        self._resume_s = resume_s
        self._keeps_idle = keeps_idle
        self._lost_at = 0.0
        self._fruitless = 0
        self._acked = 0

    @property
    def expires(self) -> float:
        """When a tunnel without a link is given up."""
        return self._lost_at + self._resume_s

    def attach(self) -> None:
        """Another link takes the place of the one lost."""
        self.number += 1
        self.current = self.number

    def lose(self, now: float, *, acked: int, waiting: bool, idle: bool, replaced: bool) -> str | None:
        """The link was lost.

        Args:
            now: Seconds.
            acked: The highest ``seq`` the peer has acknowledged.
            waiting: Whether frames are kept that it has not.
            idle: Whether nothing goes on inside the tunnel.
            replaced: Whether another link is there to take its place.

        Returns:
            Why the tunnel cannot be kept; None when it waits for another link.
        """
        self.current = 0
        self._lost_at = now
        self._fruitless = self._fruitless + 1 if waiting and acked == self._acked else 0
        self._acked = acked
        if not self._resume_s:
            return "resuming is off"
        if idle and not self._keeps_idle and not replaced:
            return "nothing was under way"
        if self._fruitless >= _MAX_FRUITLESS:
            return f"{self._fruitless} links in a row ended before anything was acknowledged"
        return None
