"""Links over a network without faults, under the contract of transports: whatever goes wrong is a fault's doing."""

from __future__ import annotations

from support.memory_harness import MemoryHarness

from tunnel.ports.transport import Link, Listener, Transport
from tunnel.testing.faulty_network import FaultyNetwork
from tunnel.testing.faulty_transport import FaultyListener, FaultyTransport
from tunnel.testing.transport import TransportContract


class FaultyHarness(MemoryHarness):
    def __init__(self) -> None:
        super().__init__()
        self.faults = FaultyNetwork()

    def listener_at(self, address: str) -> Listener:
        return FaultyListener(super().listener_at(address), self.faults)

    def transport(self) -> Transport:
        return FaultyTransport(super().transport(), self.faults)

    async def sever(self, link: Link) -> None:
        self.faults.cut()


class TestFaultyTransport(TransportContract):
    harness = FaultyHarness


class TestFaultyTransportOnTrio(TransportContract):
    harness = FaultyHarness
    event_loop = "trio"
