"""The contract of transports. In a dozen lines::

    class SmokeSignalHarness(TransportHarness):
        scheme = "smoke"
        capabilities = TransportCapabilities(buffered_bytes=1 << 20)

        def listener(self) -> Listener: ...
        def listener_at(self, address: str) -> Listener: ...
        def transport(self) -> Transport: ...
        def nobody_url(self) -> str: ...
        async def sever(self, link: Link) -> None: ...

    class TestSmokeSignals(TransportContract):
        harness = SmokeSignalHarness

A transport over TCP writes but four of these lines: ``SocketHarness`` knows the rest. ``TRANSPORT`` is the same without
pytest: ``TRANSPORT.verdict(SmokeSignalHarness)``.
"""

from tunnel.testing.transport.capabilities import TransportCapabilities
from tunnel.testing.transport.clogged import Clogged
from tunnel.testing.transport.contract import TransportContract
from tunnel.testing.transport.harness import TransportHarness
from tunnel.testing.transport.held_links import HeldLinks
from tunnel.testing.transport.rules import TRANSPORT
from tunnel.testing.transport.sockets import SocketHarness

__all__ = [
    "TRANSPORT",
    "Clogged",
    "HeldLinks",
    "SocketHarness",
    "TransportCapabilities",
    "TransportContract",
    "TransportHarness",
]
