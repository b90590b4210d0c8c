"""The in-memory transport under the contract of transports, on both event loops."""

from __future__ import annotations

from performance.operations_world import CountingLink, CountingTransport, Crossed
from support.memory_harness import MemoryHarness

from tunnel.ports.transport import Link
from tunnel.testing.transport import TransportContract


class TestMemoryTransport(TransportContract):
    harness = MemoryHarness


class TestMemoryTransportOnTrio(TransportContract):
    harness = MemoryHarness
    event_loop = "trio"


class CountingHarness(MemoryHarness):
    def transport(self) -> CountingTransport:
        return CountingTransport(super().transport(), Crossed())

    async def sever(self, link: Link) -> None:
        await super().sever(link._link if isinstance(link, CountingLink) else link)


class TestCountingTransport(TransportContract):
    harness = CountingHarness
