"""Keeps requests away from what fails, and finds out when it does not any more.

1. *Closed*: requests pass. Their outcomes are counted in slices of a window, the oldest of which is dropped as time
   goes on. Once there are ``min_requests`` in the window and ``failure_ratio`` of them failed, the circuit opens.
2. *Open*: nothing passes for ``open_s``.
3. *Half-open*: up to ``probes`` requests pass at the same time. When as many have succeeded the circuit closes, and
   starts to count anew; the first that fails opens it again. One of which nothing is learnt gives its place back.

Outcomes of requests that began before the last change say nothing any more.

Source: Traefik, CircuitBreaker; M. Nygard, Release It!, chapter 5.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import Final

import msgspec

__all__ = ["Circuit", "CircuitState"]

_SLICES: Final = 10
"""Of a window: it moves on in steps of a tenth."""


class CircuitState(Enum):
    """What a circuit lets pass."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class _Slice(msgspec.Struct):
    began_at: float
    requests: int = 0
    failures: int = 0


class Circuit:
    """A circuit breaker.

    Args:
        failure_ratio: From 0 to 1, of the requests in the window, from which on it opens.
        min_requests: In the window, below which the ratio says nothing.
        window_s: Seconds looked back on.
        open_s: Seconds for which nothing passes.
        probes: Requests that pass at the same time afterwards, and must succeed.
    """

    __slots__ = (
        "_failure_ratio",
        "_min_requests",
        "_open_s",
        "_probes",
        "_probing",
        "_slices",
        "_succeeded",
        "_until",
        "_window_s",
        "era",
        "state",
    )

    def __init__(self, *, failure_ratio: float, min_requests: int, window_s: float, open_s: float, probes: int) -> None:
        self._failure_ratio: Final = failure_ratio
        self._min_requests: Final = min_requests
        self._window_s: Final = window_s
        self._open_s: Final = open_s
        self._probes: Final = probes
        self._slices: deque[_Slice] = deque()
        self._until = 0.0
        self._probing = 0
        self._succeeded = 0
        self.state = CircuitState.CLOSED
        self.era = 0
        """Changes with the state; to be given back with the outcome of a request."""

    def admit(self, now: float) -> float:
        """Let a request pass, or not.

        Returns:
            0 if it passes, and then ``settle`` is to be called once; else the seconds after which to try again.
        """
        if self.state is CircuitState.CLOSED:
            return 0.0
        if self.state is CircuitState.OPEN:
            if now < self._until:
                return self._until - now
            self._change(CircuitState.HALF_OPEN)
        if self._probing + self._succeeded >= self._probes:
            return self._open_s
        self._probing += 1
        return 0.0

    def settle(self, era: int, now: float, *, failed: bool | None) -> None:
        """A request that passed is over, or has been answered well.

        Args:
            era: What ``era`` was when it was let pass.
            now: The clock's time.
            failed: Whether it failed; None: it says nothing, for its visitor left.
        """
        if era != self.era:
            return
        if self.state is CircuitState.HALF_OPEN:
            self._probing -= 1
            if failed:
                self._open(now)
            elif failed is not None:
                self._succeeded += 1
                if self._succeeded >= self._probes:
                    self._change(CircuitState.CLOSED)
        elif failed is not None:
            self._count(now, failed=failed)

    def _count(self, now: float, *, failed: bool) -> None:
        slices = self._slices
        while slices and slices[0].began_at <= now - self._window_s:
            slices.popleft()
        if not slices or now - slices[-1].began_at >= self._window_s / _SLICES:
            slices.append(_Slice(now))
        slices[-1].requests += 1
        slices[-1].failures += failed
        if failed:
            requests = sum(each.requests for each in slices)
            failures = sum(each.failures for each in slices)
            if requests >= self._min_requests and failures >= self._failure_ratio * requests:
                self._open(now)

    def _open(self, now: float) -> None:
        self._change(CircuitState.OPEN)
        self._until = now + self._open_s

    def _change(self, state: CircuitState) -> None:
        self.state = state
        self.era += 1
        self._slices.clear()
        self._probing = self._succeeded = 0
