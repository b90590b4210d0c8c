"""Links of a transport over TCP, through a relay that can fail as networks do."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from tunnel.ports.transport import Link, LinkService, Listener
from tunnel.testing.relay import Relay
from tunnel.testing.transport.harness import TransportHarness

__all__ = ["SocketHarness"]

_ANY_PORT: Final = "127.0.0.1:0"


class SocketHarness(TransportHarness):
    """Makes links whose listeners have addresses ``HOST:PORT``, for transports that run on asyncio or uvloop.

    Between a listener and its clients is a ``Relay``, which resets their connections. It holds data as a network does:
    count two loopback connections into ``buffered_bytes``.

    What is left to say is ``scheme``, ``capabilities``, ``listener_at`` and ``transport``.
    """

    def __init__(self) -> None:
        self._relays: Final[dict[str, Relay]] = {}
        self._deaf: Final = socket.socket()
        """Bound and never listening, so that nobody else listens there."""
        self._deaf.bind(("127.0.0.1", 0))

    def close(self) -> None:
        self._deaf.close()

    def listener(self) -> Listener:
        return self.listener_at(_ANY_PORT)

    def url(self, listener: Listener) -> str:
        relay = self._relays.get(listener.address)
        return f"{self.scheme}://127.0.0.1:{relay.port}" if relay else super().url(listener)

    def nobody_url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self._deaf.getsockname()[1]}"

    async def sever(self, link: Link) -> None:
        for relay in self._relays.values():
            relay.sever()

    @asynccontextmanager
    async def serve(self, service: LinkService) -> AsyncIterator[Listener]:
        async with super().serve(service) as listener:
            host, _, port = listener.address.rpartition(":")
            relay = Relay(host, int(port))
            await relay.start()
            self._relays[listener.address] = relay
            try:
                yield listener
            finally:
                await relay.aclose()
                del self._relays[listener.address]
