"""A server that does nothing with its links but hand them to a test."""

from __future__ import annotations

from collections import deque

import anyio

from tunnel.domain.envelopes import ConfigSyncRequest, ConfigSyncResponse, Register, RegisterResponse
from tunnel.domain.errors import ErrorCode, RegistrationRefused
from tunnel.domain.identity import PeerInfo
from tunnel.ports.transport import Link, LinkService

__all__ = ["HeldLinks"]


class HeldLinks(LinkService):
    """A service that holds every link open until it is let go, and hands it to the test."""

    def __init__(self) -> None:
        self._links: deque[Link] = deque()
        self._came_in = anyio.Event()
        self._let_go = anyio.Event()

    async def proxy(self, link: Link) -> None:
        self._links.append(link)
        self._came_in.set()
        await self._let_go.wait()

    async def register(self, request: Register, peer: PeerInfo) -> RegisterResponse:
        raise RegistrationRefused(ErrorCode.UNAUTHENTICATED, "nobody may")

    async def config_sync(self, request: ConfigSyncRequest, peer: PeerInfo) -> ConfigSyncResponse:
        raise RegistrationRefused(ErrorCode.UNAUTHENTICATED, "nobody may")

    async def link(self) -> Link:
        """The next link that came in."""
        while not self._links:
            self._came_in = anyio.Event()
            await self._came_in.wait()
        return self._links.popleft()

    def let_go(self) -> None:
        """Return from ``proxy`` on every link."""
        self._let_go.set()
