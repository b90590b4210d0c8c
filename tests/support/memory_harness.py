"""A harness for the in-memory transport."""

from __future__ import annotations

from itertools import count

from tunnel.adapters.memory.listener import MemoryListener
from tunnel.adapters.memory.network import MemoryNetwork
from tunnel.adapters.memory.transport import MemoryTransport
from tunnel.ports.transport import Link, Listener, Transport
from tunnel.testing.transport import TransportCapabilities, TransportHarness

__all__ = ["MemoryHarness"]


class MemoryHarness(TransportHarness):
    scheme = "memory"
    capabilities = TransportCapabilities(buffered_bytes=2 * 64 * 1024, quiet_s=0.01, addresses=False)

    def __init__(self) -> None:
        self.network = MemoryNetwork()
        self._names = (f"listener-{number}" for number in count())

    def listener(self) -> Listener:
        return self.listener_at(next(self._names))

    def listener_at(self, address: str) -> Listener:
        return MemoryListener(address, self.network)

    def transport(self) -> Transport:
        return MemoryTransport(self.network)

    def nobody_url(self) -> str:
        return "memory://nobody"

    async def sever(self, link: Link) -> None:
        (pair,) = (pair for pair in self.network.pairs() if link in (pair.client, pair.server))
        pair.sever()
