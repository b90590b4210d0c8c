"""Signals under their contract, on every event loop they are for."""

from __future__ import annotations

from tunnel.adapters.signals import AnyioSignal, AsyncioSignal
from tunnel.testing.signal import SignalContract


class TestAnyioSignal(SignalContract):
    signals = AnyioSignal


class TestAnyioSignalOnTrio(SignalContract):
    signals = AnyioSignal
    event_loop = "trio"


class TestAsyncioSignal(SignalContract):
    signals = AsyncioSignal


class TestAsyncioSignalOnUvloop(SignalContract):
    signals = AsyncioSignal
    event_loop = ("asyncio", {"use_uvloop": True})
