"""Signals under their contract, on every event loop they are for."""

from __future__ import annotations

from tunnel.adapters.signals import AnyioSignal, AsyncioSignal
from tunnel.testing.signal import SignalContract, SignalHarness


class AnyioHarness(SignalHarness):
    signal = AnyioSignal


class AsyncioHarness(SignalHarness):
    signal = AsyncioSignal


class TestAnyioSignal(SignalContract):
    harness = AnyioHarness


class TestAnyioSignalOnTrio(SignalContract):
    harness = AnyioHarness
    event_loop = "trio"


class TestAsyncioSignal(SignalContract):
    harness = AsyncioHarness


class TestAsyncioSignalOnUvloop(SignalContract):
    harness = AsyncioHarness
    event_loop = ("asyncio", {"use_uvloop": True})
