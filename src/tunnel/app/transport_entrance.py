"""Where clients come in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import anyio

from tunnel.app.entrance import Entrance
from tunnel.app.listener_tls import follow_tls
from tunnel.domain.envelopes import ConfigSyncRequest, ConfigSyncResponse, Register, RegisterResponse
from tunnel.domain.identity import PeerInfo
from tunnel.ports.tls import ListenerTls
from tunnel.ports.transport import Link, LinkService, Listener

__all__ = ["TransportEntrance"]


class TransportEntrance(Entrance):
    """A listener for clients.

    Args:
        name: Of its configuration table.
        place: Where it listens, as configured.
        settings: What ``listener`` was made of.
        listener: The listener.
        service: Serves the links.
        tls: What ``listener`` proves itself with.
    """

    kind = "transport"

    def __init__(
        self,
        name: str,
        place: str,
        *,
        settings: object,
        listener: Listener,
        service: LinkService,
        tls: ListenerTls | None = None,
    ) -> None:
        self.name = name
        self.place = place
        self.settings = settings
        self._tls = tls
        self._listener = listener
        self._arrivals = _Arrivals(service)
        self._ended = anyio.Event()

    @property
    def address(self) -> str:
        return self._listener.address

    def bind(self) -> None:
        self._listener.bind()

    async def serve(self, started: Callable[[], None]) -> None:
        try:
            await self._listener.serve(self._arrivals, started)
        finally:
            self._ended.set()

    def follow(self, successor: Self) -> None:
        # Whatever else is set for a transport concerns its address.
        follow_tls(self._tls, successor._tls)
        self.settings = successor.settings

    async def leave(self, grace_s: float) -> None:
        """Links that are open go on for ``grace_s`` seconds, then they are dropped: clients resume at other addresses.

        Nothing tells clients to go before, for their place is empty while they are on their way.
        """
        self._arrivals.close()
        with anyio.move_on_after(grace_s):
            await self._arrivals.emptied.wait()
        self._listener.stop()
        await self._ended.wait()

    def stop(self) -> None:
        self._listener.stop()


class _Arrivals(LinkService):
    """The service behind one listener: knows how many links it has, and can turn away those that still come."""

    def __init__(self, service: LinkService) -> None:
        self._service = service
        self._links = 0
        self._closed = False
        self.emptied = anyio.Event()
        """Set once it is closed and without links."""

    def close(self) -> None:
        self._closed = True
        if not self._links:
            self.emptied.set()

    async def proxy(self, link: Link) -> None:
        if self._closed:
            # Closed without a word: a client takes that for an address to be passed over.
            return
        self._links += 1
        try:
            await self._service.proxy(link)
        finally:
            self._links -= 1
            if self._closed and not self._links:
                self.emptied.set()

    async def register(self, request: Register, peer: PeerInfo) -> RegisterResponse:
        return await self._service.register(request, peer)

    async def config_sync(self, request: ConfigSyncRequest, peer: PeerInfo) -> ConfigSyncResponse:
        return await self._service.config_sync(request, peer)
