"""When a request may be begun again with somebody else, and how many may be.

Begun again is a request of which nobody can have seen a part that is not sent again, and that

1. provably never started: it was refused, or never handed to a link; or
2. was lost with the tunnel, and means the same however often it is done: its method is idempotent (RFC 9110 section
   9.2.2). An empty body proves nothing of the kind.

A retry is one request more for clients that may fail because they have too many. So retries are bounded by the requests
there were: a few percent of failures are all retried, and an outage is not multiplied.
"""

from __future__ import annotations

from typing import Final

from tunnel.domain.errors import ErrorCode

__all__ = ["IDEMPOTENT_METHODS", "RetryBudget", "may_begin_again"]

IDEMPOTENT_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
"""Source: RFC 9110 section 9.2.2."""

_NEVER_SENT: Final = frozenset({ErrorCode.REFUSED, ErrorCode.OVERLOADED, ErrorCode.PEER_LOST})
"""Codes of what a tunnel would not even take up, which another may; the rest is the request's own fault."""

_PART: Final = 0.2
"""Retries per request."""

_WINDOW_S: Final = 10.0
"""How far back requests count."""

_FLOOR_PER_S: Final = 3.0
"""Retries that are allowed whatever the number of requests; also how many of these at once."""


def may_begin_again(code: ErrorCode, *, started: bool, idempotent: bool) -> bool:
    """Whether a failed request may be tried elsewhere, given that nothing of it was consumed that is not at hand still.

    Args:
        code: How it failed.
        started: Whether its opening was handed to a link.
        idempotent: Whether doing it twice does no harm.
    """
    if code is ErrorCode.REFUSED:
        return True
    if not started:
        return code in _NEVER_SENT
    return idempotent and code is ErrorCode.PEER_LOST


class RetryBudget:
    """Retries of one group: at most a fifth of its requests of the last seconds, and three a second beside that.

    Requests are only counted; what that is worth is worked out when a retry asks. Those counted since it was asked last
    are taken as evenly spread, and what they and those before them are worth fades within ten seconds.

    Args:
        now: Seconds.
    """

    __slots__ = ("_at", "_earned", "_floor", "requests")

    def __init__(self, now: float) -> None:
        self.requests = 0
        """To be raised by one with each request; retries are none."""
        self._at = now
        self._earned = 0.0
        self._floor = _FLOOR_PER_S

    def spend(self, now: float) -> bool:
        """Allow one retry, and count it; False when there have been too many."""
        elapsed_s = now - self._at
        self._at = now
        recent = min(1.0, _WINDOW_S / elapsed_s) if elapsed_s > 0 else 1.0
        self._earned = self._earned * max(0.0, 1.0 - elapsed_s / _WINDOW_S) + self.requests * recent * _PART
        self.requests = 0
        self._floor = min(_FLOOR_PER_S, self._floor + elapsed_s * _FLOOR_PER_S)
        if self._floor >= 1.0:
            self._floor -= 1.0
            return True
        if self._earned >= 1.0:
            self._earned -= 1.0
            return True
        return False
