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
        self._ending = False

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

    async def leave(self, grace_s: float) -> bool:
        """Links that are open go on for ``grace_s`` seconds, then they are dropped: clients resume at other addresses.

        Nothing tells clients to go before, for their place is empty while they are on their way. The address is kept
        until then, since no transport can give it back and keep its links.
        """
        settled = self._arrivals.close()
        with anyio.move_on_after(grace_s):
            await settled.wait()
        # Told to stay, it may have been told to leave once more.
        if self._arrivals.settled is not settled:
            return False
        self.stop()
        await self._ended.wait()
        return True

    async def stay(self, made: Entrance) -> bool:
        if self._ending:
            await self._ended.wait()
        if self._ended.is_set() or not isinstance(made, TransportEntrance):
            return False
        if _kind_of_tls(made._tls) != _kind_of_tls(self._tls):
            # What a listener cannot become while it listens.
            return False
        self._arrivals.open()
        return True

    def stop(self) -> None:
        self._ending = True
        self._listener.stop()


def _kind_of_tls(tls: ListenerTls | None) -> tuple[bool, bool]:
    """Whether there is TLS, and whether clients are asked for certificates."""
    return tls is not None, tls is not None and bool(tls.material.authorities)


class _Arrivals(LinkService):
    """The service behind one listener: knows how many links it has, and can turn away those that still come."""

    def __init__(self, service: LinkService) -> None:
        self._service = service
        self._links = 0
        self.settled: anyio.Event | None = None
        """While it is closed: set once it is without links, or open again."""

    def close(self) -> anyio.Event:
        settled = self.settled = anyio.Event()
        self._settle()
        return settled

    def open(self) -> None:
        if self.settled is not None:
            self.settled.set()
            self.settled = None

    async def proxy(self, link: Link) -> None:
        if self.settled is not None:
            # Closed without a word: a client takes that for an address to be passed over.
            return
        self._links += 1
        try:
            await self._service.proxy(link)
        finally:
            self._links -= 1
            self._settle()

    def _settle(self) -> None:
        if self.settled is not None and not self._links:
            self.settled.set()

    async def register(self, request: Register, peer: PeerInfo) -> RegisterResponse:
        return await self._service.register(request, peer)

    async def config_sync(self, request: ConfigSyncRequest, peer: PeerInfo) -> ConfigSyncResponse:
        return await self._service.config_sync(request, peer)
