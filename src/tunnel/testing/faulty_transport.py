"""The two sides of a transport whose links are faulty, around those of any other."""

from __future__ import annotations

from collections.abc import Callable

from tunnel.domain.envelopes import ConfigSyncRequest, ConfigSyncResponse, Register, RegisterResponse
from tunnel.domain.errors import LinkEnd, LinkError
from tunnel.domain.identity import PeerInfo
from tunnel.ports.transport import Link, LinkService, Listener, Transport
from tunnel.testing.faulty_link import FaultyLink
from tunnel.testing.faulty_network import FaultyNetwork

__all__ = ["FaultyListener", "FaultyTransport"]


class FaultyTransport(Transport):
    """Dials as another transport does, as long as the network lets it.

    Args:
        transport: Makes the links.
        network: Whose faults strike them.
    """

    def __init__(self, transport: Transport, network: FaultyNetwork) -> None:
        self._transport = transport
        self._network = network

    async def connect(self, url: str, *, timeout_s: float) -> Link:
        self._check()
        link = await self._transport.connect(url, timeout_s=timeout_s)
        try:
            self._check()
        except LinkError:
            link.abort()
            raise
        return FaultyLink(link, self._network)

    def _check(self) -> None:
        if not self._network.reachable:
            raise LinkError(LinkEnd.UNREACHABLE, "no route to host")


class FaultyListener(Listener):
    """Listens as another listener does, and gives the server faulty links.

    Args:
        listener: Accepts the links, and owns them.
        network: Whose faults strike them.
    """

    def __init__(self, listener: Listener, network: FaultyNetwork) -> None:
        self._listener = listener
        self._network = network

    @property
    def address(self) -> str:
        return self._listener.address

    def bind(self) -> None:
        self._listener.bind()

    async def serve(self, service: LinkService, started: Callable[[], None]) -> None:
        await self._listener.serve(_FaultyService(service, self._network), started)

    def stop(self) -> None:
        self._listener.stop()


class _FaultyService(LinkService):
    def __init__(self, service: LinkService, network: FaultyNetwork) -> None:
        self._service = service
        self._network = network

    async def proxy(self, link: Link) -> None:
        faulty = FaultyLink(link, self._network)
        orderly = False
        try:
            await self._service.proxy(faulty)
            orderly = True
        finally:
            if orderly:
                await faulty.aclose()
            faulty.abort()

    async def register(self, request: Register, peer: PeerInfo) -> RegisterResponse:
        return await self._service.register(request, peer)

    async def config_sync(self, request: ConfigSyncRequest, peer: PeerInfo) -> ConfigSyncResponse:
        return await self._service.config_sync(request, peer)
