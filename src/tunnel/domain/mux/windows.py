"""Flow control of one direction of a session: credit, as its sender and as its receiver keep it.

How credit is returned:

1. A direction starts with ``session_window_bytes`` of credit. Every envelope of the session takes its cost from it.
2. What the reader has consumed is added up; at half a window it is returned in one ``window_update``.
3. When that half was consumed within one round trip, which is a window within two, the window limits the sender: it
   doubles up to ``session_window_max_bytes``, provided the receive budget has room to spare. The growth is granted
   with the update.
4. A window never shrinks while its session lives. An envelope beyond the credit is an overrun.

Source: docs/reference/protocol.md, flow control.
"""

from __future__ import annotations

from tunnel.domain.limits import MAX_CHUNK_COST, Limits
from tunnel.domain.mux.budget import Budget

__all__ = ["ReceiveWindow", "SendWindow"]


class SendWindow:
    """Credit left for sending, and how large one envelope may be.

    ``chunk_cost`` is a quarter of the largest credit ever seen, which the receiver's window is not smaller than.
    """

    __slots__ = ("chunk_cost", "credit")

    def __init__(self, limits: Limits) -> None:
        self.credit = limits.session_window_bytes
        self.chunk_cost = min(MAX_CHUNK_COST, self.credit // 4)

    def granted(self, size_bytes: int) -> None:
        """A window_update arrived."""
        self.credit += size_bytes
        if self.chunk_cost < MAX_CHUNK_COST:
            self.chunk_cost = min(MAX_CHUNK_COST, max(self.chunk_cost, self.credit // 4))


class ReceiveWindow:
    """Credit the peer has left, what the reader consumed, and when to return it."""

    __slots__ = ("_budget", "_consumed", "_last_return", "_maximum", "credit", "size")

    def __init__(self, limits: Limits, budget: Budget, now: float) -> None:
        self.size = limits.session_window_bytes
        self.credit = self.size
        self._maximum = limits.session_window_max_bytes
        self._consumed = 0
        self._last_return = now
        self._budget = budget

    def arrived(self, cost: int) -> bool:
        """Take an envelope's cost from the credit; False for an overrun."""
        self.credit -= cost
        return self.credit >= 0

    def consumed(self, cost: int, now: float, rtt_s: float) -> int:
        """The reader consumed ``cost``; the bytes to return to the sender now, 0 for not yet."""
        self._consumed += cost
        if self._consumed * 2 < self.size:
            return 0
        grant = self._consumed
        self._consumed = 0
        if now - self._last_return <= rtt_s and self.size < self._maximum:
            growth = min(self.size, self._maximum - self.size)
            if self._budget.reserve_spare(growth):
                self.size += growth
                grant += growth
        self._last_return = now
        self.credit += grant
        return grant

    def close(self) -> None:
        """Return the window to the budget; nothing more is received."""
        self._budget.release(self.size)
        self.size = 0
