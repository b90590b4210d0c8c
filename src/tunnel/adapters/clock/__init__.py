"""Clocks: the machine's own, and that of the event loop, which tests may drive."""

from __future__ import annotations

from tunnel.adapters.clock.anyio_clock import AnyioClock
from tunnel.adapters.clock.monotonic import MonotonicClock

__all__ = ["AnyioClock", "MonotonicClock"]
