"""Signals: for any event loop, and cheaper ones for asyncio's."""

from __future__ import annotations

import asyncio

import anyio

from tunnel.adapters.signals.anyio_signal import AnyioSignal
from tunnel.adapters.signals.asyncio_signal import AsyncioSignal
from tunnel.ports.signal import SignalFactory

__all__ = ["AnyioSignal", "AsyncioSignal", "signals_of_running_loop"]


def signals_of_running_loop() -> SignalFactory:
    """The cheapest signals that the event loop running now can wait with."""
    on_asyncio = anyio.get_cancelled_exc_class() is asyncio.CancelledError
    return AsyncioSignal if on_asyncio else AnyioSignal
