"""The dialling side of the in-memory transport."""

from __future__ import annotations

import anyio.lowlevel

from tunnel.adapters.memory.link import MemoryLink
from tunnel.adapters.memory.network import MemoryNetwork
from tunnel.domain.errors import LinkEnd, LinkError
from tunnel.ports.transport import Transport

__all__ = ["MemoryTransport"]

_PREFIX = "memory://"


class MemoryTransport(Transport):
    """Connects to ``memory://NAME`` within ``network``."""

    def __init__(self, network: MemoryNetwork) -> None:
        self._network = network

    async def connect(self, url: str, *, timeout_s: float) -> MemoryLink:
        if not url.startswith(_PREFIX):
            raise LinkError(LinkEnd.UNREACHABLE, "not a memory:// address")
        await anyio.lowlevel.checkpoint()
        return self._network.dial(url.removeprefix(_PREFIX).rstrip("/"))
