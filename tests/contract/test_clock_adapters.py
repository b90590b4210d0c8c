"""Clocks under their contract, on every event loop they are for."""

from __future__ import annotations

from tunnel.adapters.clock import AnyioClock, MonotonicClock
from tunnel.ports.clock import Clock
from tunnel.testing.autojump import AutojumpClock
from tunnel.testing.clock import ClockContract, ClockHarness
from tunnel.testing.event_loops import VIRTUAL
from tunnel.testing.manual_clock import ManualClock


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


class ManualHarness(ClockHarness):
    def clock(self) -> ManualClock:
        return ManualClock()

    async def pass_time(self, clock: Clock, delta_s: float) -> None:
        assert isinstance(clock, ManualClock)
        await clock.advance(delta_s)


class AutojumpHarness(ClockHarness):
    def clock(self) -> AutojumpClock:
        return AutojumpClock()


class TestManualClock(ClockContract):
    harness = ManualHarness


class TestManualClockOnTrio(ClockContract):
    harness = ManualHarness
    event_loop = "trio"


class TestAutojumpClock(ClockContract):
    harness = AutojumpHarness
    event_loop = VIRTUAL


class TestAutojumpClockInRealTime(ClockContract):
    harness = AutojumpHarness
