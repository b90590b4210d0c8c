"""How often one end may reset what it opened: the bound that the other keeps, and staying below it.

Visitors decide when they leave, and each that leaves early makes a reset of the session that was opened for it. A peer
that sees too many ends the tunnel, with all that others have in it. So the end that opens sessions keeps account:

1. Each reset of a session of ours counts one. The count falls somewhat more slowly than the peer's budget fills.
2. While it is more than half of the budget nothing is opened. The other half is for resets that a slow link holds back
   and delivers at once.
3. Nor is anything opened when that half could be overdrawn if all that is open were reset now.
"""

from __future__ import annotations

from typing import Final

from tunnel.domain.limits import Limits
from tunnel.domain.mux.rate import RateBudget

__all__ = ["ResetCount", "reset_budget"]

_PER_SECOND: Final = 1000
"""How often a peer may open sessions only to reset them, lastingly."""

_SHARE: Final = 0.9
"""Of that rate, what our own resets keep to: clocks differ, and frames are late."""


def _burst(limits: Limits) -> int:
    return max(limits.max_sessions, _PER_SECOND)


def reset_budget(local: Limits, now: float) -> RateBudget:
    """What a peer may reset of the sessions it opens here.

    Args:
        local: The limits this end announced.
        now: Seconds.
    """
    return RateBudget(burst=_burst(local), per_second=_PER_SECOND, now=now)


class ResetCount:
    """Resets of sessions opened here, of late.

    Args:
        remote: The limits the peer announced.

    Attributes:
        count: Those that the peer may still hold against this end.
    """

    __slots__ = ("_at", "_burst", "count")

    def __init__(self, remote: Limits) -> None:
        self._burst = _burst(remote)
        self._at = 0.0
        self.count = 0.0

    def bears_another(self, open_sessions: int, now: float) -> bool:
        """Whether a further session may be opened.

        Args:
            open_sessions: Of this end's, by now.
            now: Seconds.
        """
        self.count = max(0.0, self.count - (now - self._at) * _PER_SECOND * _SHARE)
        self._at = now
        return self.count <= self._burst // 2 and self.count + open_sessions + 1 <= self._burst
