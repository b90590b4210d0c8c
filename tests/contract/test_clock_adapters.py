"""Clocks under their contract, on every event loop they are for."""

from __future__ import annotations

from tunnel.adapters.clock import AnyioClock, MonotonicClock
from tunnel.testing.clock import ClockContract, ClockHarness
from tunnel.testing.event_loops import VIRTUAL


class MonotonicHarness(ClockHarness):
    def clock(self) -> MonotonicClock:
        return MonotonicClock()


class AnyioHarness(ClockHarness):
    def clock(self) -> AnyioClock:
        return AnyioClock()


class TestMonotonicClock(ClockContract):
    harness = MonotonicHarness


class TestMonotonicClockOnTrio(ClockContract):
    harness = MonotonicHarness
    event_loop = "trio"


class TestAnyioClock(ClockContract):
    harness = AnyioHarness


class TestAnyioClockInVirtualTime(ClockContract):
    harness = AnyioHarness
    event_loop = VIRTUAL
