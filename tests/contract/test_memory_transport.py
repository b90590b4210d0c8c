"""The in-memory transport under the contract of transports, on both event loops."""

from __future__ import annotations

from support.memory_harness import MemoryHarness

from tunnel.testing.transport import TransportContract


class TestMemoryTransport(TransportContract):
    harness = MemoryHarness


class TestMemoryTransportOnTrio(TransportContract):
    harness = MemoryHarness
    event_loop = "trio"
