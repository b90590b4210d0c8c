"""How long to wait before dialling again: exponential, with full jitter."""

from __future__ import annotations

from typing import Final

from tunnel.domain.random_source import RandomSource

__all__ = ["Backoff"]

DEFAULT_INITIAL_S: Final = 0.5
"""Seconds; most losses are a server's restart or a network's hiccup, over before anyone notices."""

DEFAULT_CAP_S: Final = 30.0
"""Seconds; a server that comes back is found within half a minute, however long it was away."""

DEFAULT_STABLE_S: Final = 10.0
"""Seconds; two heartbeats. A server that accepts links and drops them at once is not stable."""

_MULTIPLIER: Final = 2.0


class Backoff:
    """The delays of one dialling loop.

    Each delay is drawn evenly between nothing and a ceiling, which starts at ``initial_s`` and doubles with every delay
    up to ``cap_s``; so clients that lost the same server at once do not come back at once. A connection lowers the
    ceiling again only after it held for a while: a link that is made and lost again and again keeps its long delays.

    Args:
        initial_s: Ceiling of the first delay, in seconds.
        cap_s: Highest ceiling, in seconds.
        stable_s: How long a connection must have lasted to count as a success, in seconds.
    """

    __slots__ = ("_cap_s", "_ceiling_s", "_initial_s", "_stable_s")

    def __init__(
        self,
        *,
        initial_s: float = DEFAULT_INITIAL_S,
        cap_s: float = DEFAULT_CAP_S,
        stable_s: float = DEFAULT_STABLE_S,
    ) -> None:
        if not 0 < initial_s <= cap_s:
            raise ValueError("expected 0 < initial_s <= cap_s")
        self._initial_s = initial_s
        self._cap_s = cap_s
        self._stable_s = stable_s
        self._ceiling_s = initial_s

    def next_delay_s(self, random: RandomSource) -> float:
        """Seconds to wait before the next attempt; raises the ceiling of the one after it."""
        delay_s = self._ceiling_s * random.random()
        self._ceiling_s = min(self._cap_s, self._ceiling_s * _MULTIPLIER)
        return delay_s

    def reset_if_stable(self, connected_for_s: float) -> bool:
        """Start over at the first delay if the connection just lost had lasted long enough; tell whether it had.

        Args:
            connected_for_s: How long it was usable, in seconds: from the handshake's end, not from dialling.
        """
        stable = connected_for_s >= self._stable_s
        if stable:
            self._ceiling_s = self._initial_s
        return stable
