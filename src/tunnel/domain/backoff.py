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

_MOST_DOUBLINGS: Final = 64
"""Beyond any cap, and still a number."""


class Backoff:
    """The delays of one dialling loop.

    Each delay is drawn evenly between nothing and a ceiling, so that clients that lost the same server at once do not
    come back at once. The ceiling is ``initial_s``, doubled for

    1. each attempt in a row that led to no connection, and
    2. each connection in a row that did not hold for ``stable_s``,

    up to ``cap_s``. A connection makes the attempts before it forgotten: a server that was away for long, came back and
    is restarted once more is found soon. It does not make other short connections forgotten: one that is made and lost
    again and again comes to long delays.

    Args:
        initial_s: Ceiling of the first delay, in seconds.
        cap_s: Highest ceiling, in seconds.
        stable_s: How long a connection must have lasted to count as a success, in seconds.
    """

    __slots__ = ("_cap_s", "_failed", "_initial_s", "_stable_s", "_unstable")

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
        self._failed = 0
        self._unstable = 0

    def failed(self) -> None:
        """An attempt led to no connection."""
        self._failed += 1

    def lost(self, connected_for_s: float) -> bool:
        """A connection was lost; tell whether it had been a stable one.

        Args:
            connected_for_s: How long it was usable, in seconds: from the handshake's end, not from dialling.
        """
        self._failed = 0
        stable = connected_for_s >= self._stable_s
        self._unstable = 0 if stable else self._unstable + 1
        return stable

    def delay_s(self, random: RandomSource) -> float:
        """Seconds to wait before the next attempt: another draw each time."""
        doublings = min(max(self._failed + self._unstable - 1, 0), _MOST_DOUBLINGS)
        return min(self._cap_s, self._initial_s * _MULTIPLIER**doublings) * random.random()
