"""Flow control of one direction of a session: credit, as its sender and as its receiver keep it.

How credit is returned:

1. A direction starts with ``session_window_bytes`` of credit. Every envelope of the session takes its cost from it.
2. What the reader has consumed is added up; at a quarter of the window it is returned in one ``window_update``. What is
   held back until then does not circulate, so at least three quarters of a window move per round trip.
3. When a whole window was consumed within two round trips, the window limits the sender: it doubles up to
   ``session_window_max_bytes``, provided the receive budget has room to spare. The growth is granted with the update.
4. A window never shrinks while its session lives. An envelope beyond the credit is an overrun.

Source: docs/reference/protocol.md, flow control.
"""

from __future__ import annotations

from tunnel.domain.limits import MAX_CHUNK_COST, Limits
from tunnel.domain.mux.budget import Budget

__all__ = ["ReceiveWindow", "SendWindow"]


class SendWindow:
    """Credit left for sending, how large one envelope may be, and whether any credit ever came back.

    ``chunk_cost`` is a quarter of the largest credit ever seen, which the receiver's window is not smaller than.
    """

    __slots__ = ("chunk_cost", "credit", "returned")

    def __init__(self, limits: Limits) -> None:
        self.credit = credit = limits.session_window_bytes
        self.chunk_cost = credit // 4 if credit < 4 * MAX_CHUNK_COST else MAX_CHUNK_COST
        self.returned = False

    def granted(self, size_bytes: int) -> None:
        """A window_update arrived."""
        self.credit += size_bytes
        self.returned = True
        if self.chunk_cost < MAX_CHUNK_COST:
            self.chunk_cost = min(MAX_CHUNK_COST, max(self.chunk_cost, self.credit // 4))


class ReceiveWindow:
    """Credit the peer has left, what the reader consumed, and when to return it.

    Args:
        limits: Of this side.
        budget: ``size`` has been reserved in it; growth will be, and all of it is released by ``close``.
        now: Seconds.
        size: Initial credit; None for that of ``limits``.
    """

    __slots__ = ("_budget", "_consumed", "_epoch_consumed", "_epoch_start", "_maximum", "credit", "size")

    def __init__(self, limits: Limits, budget: Budget, now: float, size: int | None = None) -> None:
        self.size = limits.session_window_bytes if size is None else size
        self.credit = self.size
        self._maximum = limits.session_window_max_bytes
        self._consumed = 0
        self._epoch_consumed = 0
        self._epoch_start = now
        self._budget = budget

    def arrived(self, cost: int) -> bool:
        """Take an envelope's cost from the credit; False for an overrun."""
        self.credit -= cost
        return self.credit >= 0

    def consumed(self, cost: int, now: float, rtt_s: float) -> int:
        """The reader consumed ``cost``; the bytes to return to the sender now, 0 for not yet."""
        self._consumed += cost
        if self._consumed * 4 < self.size:
            return 0
        grant = self._consumed
        self._consumed = 0
        self._epoch_consumed += grant
        if self._epoch_consumed >= self.size:
            grant += self._grow(now - self._epoch_start <= 2 * rtt_s)
            self._epoch_consumed = 0
            self._epoch_start = now
        self.credit += grant
        return grant

    def _grow(self, limits_the_sender: bool) -> int:
        growth = min(self.size, self._maximum - self.size) if limits_the_sender else 0
        if not growth or not self._budget.reserve_spare(growth):
            return 0
        self.size += growth
        return growth

    def close(self) -> None:
        """Return the window to the budget; nothing more is received."""
        self._budget.release(self.size)
        self.size = 0
