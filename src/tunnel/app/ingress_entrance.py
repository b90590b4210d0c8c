"""Where visitors come in, at a server or at a client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import anyio

from tunnel.app.entrance import Entrance
from tunnel.app.group_route import GroupRoute
from tunnel.app.listener_tls import follow_tls
from tunnel.ports.ingress import Ingress
from tunnel.ports.target import ProxyTarget
from tunnel.ports.tls import ListenerTls

__all__ = ["GroupEntrance", "IngressEntrance", "TcpEntrance"]


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
        follow_tls(self._tls, successor._tls)
        self.settings = successor.settings

    async def leave(self, grace_s: float) -> bool:
        self._ingress.drain(grace_s)
        await self._ended.wait()
        return True

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
