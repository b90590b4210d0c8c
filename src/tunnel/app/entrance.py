"""Where clients and visitors come in, each with its beginning and its end."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Protocol, Self

import anyio

from tunnel.app.group_route import GroupRoute
from tunnel.domain.configuration import AdminSettings
from tunnel.domain.envelopes import ConfigSyncRequest, ConfigSyncResponse, Register, RegisterResponse
from tunnel.domain.identity import PeerInfo
from tunnel.ports.admin import AdminListener
from tunnel.ports.ingress import Ingress
from tunnel.ports.target import ProxyTarget
from tunnel.ports.tls import ListenerTls
from tunnel.ports.transport import Link, LinkService, Listener

__all__ = [
    "AdminEntrance",
    "Entrance",
    "GroupEntrance",
    "IngressEntrance",
    "MountedIngress",
    "TcpEntrance",
    "TransportEntrance",
]


class Entrance(Protocol):
    """A listener of either kind. Used once: bound, served, left or stopped."""

    kind: str
    """``transport``, ``ingress``, ``entry`` or ``admin``, as the ready line says."""
    name: str
    """Of its configuration table."""
    place: str
    """Where it listens, as configured."""
    settings: object
    """What it was made of, or follows by now."""

    @property
    @abstractmethod
    def address(self) -> str:
        """Where it listens, with the real port."""

    def continues(self, other: Entrance) -> bool:
        """Whether this, as configured, is the same as ``other``, which is there already."""
        return (self.kind, self.name, self.place) == (other.kind, other.name, other.place)

    @abstractmethod
    def bind(self) -> None:
        """Take the address.

        Raises:
            ListenError: It cannot be had.
        """

    @abstractmethod
    async def serve(self, started: Callable[[], None]) -> None:
        """Let in whoever comes, until left or stopped; calls ``started`` once it accepts."""

    @abstractmethod
    def follow(self, successor: Self) -> None:
        """Go on by the settings of ``successor``, made for the same place and never bound."""

    @abstractmethod
    async def leave(self, grace_s: float) -> None:
        """Let nobody in any more, give those inside ``grace_s`` seconds, then end; returns when it has ended."""

    @abstractmethod
    def stop(self) -> None:
        """End at once. Safe in any state."""


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
        _follow_tls(self._tls, successor._tls)
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


class IngressEntrance(Entrance):
    """A listener for visitors.

    Args:
        name: Of its configuration table.
        place: Where it listens, as configured.
        settings: What ``ingress`` was made of.
        ingress: The ingress.
        target: Handles the conversations.
        tls: What ``ingress`` proves itself with.
        kind: ``ingress`` of a server, ``entry`` of a client.
    """

    def __init__(
        self,
        name: str,
        place: str,
        *,
        settings: object,
        ingress: Ingress,
        target: ProxyTarget,
        tls: ListenerTls | None = None,
        kind: str = "ingress",
    ) -> None:
        self.kind = kind
        self.name = name
        self.place = place
        self.settings = settings
        self._tls = tls
        self._ingress = ingress
        self._target = target
        self._ended = anyio.Event()

    @property
    def address(self) -> str:
        return self._ingress.address

    def bind(self) -> None:
        self._ingress.bind()

    async def serve(self, started: Callable[[], None]) -> None:
        try:
            await self._ingress.serve(self._target, started)
        finally:
            self._ended.set()

    def follow(self, successor: Self) -> None:
        self._ingress.follow(successor._ingress)
        _follow_tls(self._tls, successor._tls)
        self.settings = successor.settings

    async def leave(self, grace_s: float) -> None:
        self._ingress.drain(grace_s)
        await self._ended.wait()

    def stop(self) -> None:
        self._ingress.drain(0)


class TcpEntrance(IngressEntrance):
    """A listener for TCP connections, as those before. Known by its address: its name may change."""

    def continues(self, other: Entrance) -> bool:
        if not isinstance(other, TcpEntrance) or self.place != other.place:
            return False
        # Listeners of which each has a port of the system's choice are told apart by their names.
        return self.name == other.name or not self.place.endswith(":0")

    def follow(self, successor: Self) -> None:
        super().follow(successor)
        self.name = successor.name


class GroupEntrance(TcpEntrance):
    """A listener for TCP connections to one group, which no rule has to choose.

    Args:
        name: In ready lines.
        place: Where it listens, as configured.
        settings: What ``ingress`` was made of.
        ingress: The ingress.
        route: Leads to the group.
    """

    def __init__(self, name: str, place: str, *, settings: object, ingress: Ingress, route: GroupRoute) -> None:
        super().__init__(name, place, settings=settings, ingress=ingress, target=route)
        self._route = route

    def follow(self, successor: Self) -> None:
        super().follow(successor)
        self._route.follow(successor._route)


class AdminEntrance(Entrance):
    """A listener for operators.

    Args:
        settings: What ``listener`` was made of.
        listener: The listener.
        tls: What ``listener`` proves itself with.
    """

    kind = "admin"
    name = "admin"

    def __init__(self, settings: AdminSettings, listener: AdminListener, *, tls: ListenerTls | None = None) -> None:
        self.place = settings.listen
        self.settings: object = (settings, tls and tls.material)
        self._tls = tls
        self._listener = listener
        self._ended = anyio.Event()

    @property
    def address(self) -> str:
        return self._listener.address

    def bind(self) -> None:
        self._listener.bind()

    async def serve(self, started: Callable[[], None]) -> None:
        try:
            await self._listener.serve(started)
        finally:
            self._ended.set()

    def follow(self, successor: Self) -> None:
        self._listener.follow(successor._listener)
        _follow_tls(self._tls, successor._tls)
        self.settings = successor.settings

    async def leave(self, grace_s: float) -> None:
        """Answers take no time worth waiting for, so ``grace_s`` does not matter."""
        self._listener.stop()
        await self._ended.wait()

    def stop(self) -> None:
        self._listener.stop()


def _follow_tls(current: ListenerTls | None, successor: ListenerTls | None) -> None:
    # Where one of them has none the reload was refused before.
    if current is not None and successor is not None:
        current.follow(successor)


class MountedIngress:
    """The ASGI application that others mount, which stays the same object while what is behind it is replaced.

    Args:
        application: What it is at first.
    """

    def __init__(self, application: Callable[..., Any]) -> None:
        self.application = application
        """Serves from the next call on."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one ASGI connection scope."""
        await self.application(scope, receive, send)
