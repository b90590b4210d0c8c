"""Making links of one transport, and breaking them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import anyio

from tunnel.ports.transport import Link, LinkService, Listener, Transport
from tunnel.testing.harness import Harness
from tunnel.testing.transport.capabilities import TransportCapabilities
from tunnel.testing.transport.clogged import Clogged
from tunnel.testing.transport.held_links import HeldLinks

__all__ = ["TransportHarness"]

CONNECT_S: Final = 10.0
"""Connecting within one machine takes milliseconds; the rest is for a busy one."""

_HEARS_S: Final = 1.0
"""Longest that a blocked send takes to hear that it is cancelled."""

_LOOKS: Final = 6
"""How often a sender is looked at in the time in which nothing may move, so that little is waited beyond that time."""


class TransportHarness(Harness, ABC):
    """Makes links of one transport. What is given to ``TransportContract``."""

    scheme: str
    """Scheme of its URLs, and ``PeerInfo.transport`` of its links."""
    capabilities: TransportCapabilities

    @abstractmethod
    def listener(self) -> Listener:
        """A new listener that is not bound, on an address of its own."""

    @abstractmethod
    def listener_at(self, address: str) -> Listener:
        """A new listener that is not bound, on the address another one has."""

    @abstractmethod
    def transport(self) -> Transport:
        """A new transport."""

    @abstractmethod
    def nobody_url(self) -> str:
        """A URL at which nobody listens."""

    @abstractmethod
    async def sever(self, link: Link) -> None:
        """Break the connection under the client's link of ``connected_pair``, as a failing network does.

        Both ends must be able to learn of it, without a word of closing from either.
        """

    def url(self, listener: Listener) -> str:
        """Where clients reach a bound listener."""
        return f"{self.scheme}://{listener.address}"

    async def connect(self, listener: Listener) -> Link:
        """A new link to ``listener``."""
        return await self.transport().connect(self.url(listener), timeout_s=CONNECT_S)

    @asynccontextmanager
    async def serve(self, service: LinkService) -> AsyncIterator[Listener]:
        """A listener that accepts, stopped at the end."""
        listener = self.listener()
        listener.bind()
        started = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, service, started.set)
            try:
                await started.wait()
                yield listener
            finally:
                listener.stop()

    @asynccontextmanager
    async def connected_pair(self) -> AsyncIterator[tuple[Link, Link]]:
        """Both ends of one link: the client's and the server's."""
        held = HeldLinks()
        async with self.serve(held) as listener:
            client = await self.connect(listener)
            try:
                yield client, await held.link()
            finally:
                client.abort()
                # A listener that stops gives services that hold on to their links some time.
                held.let_go()

    @asynccontextmanager
    async def clogged_pair(self, *, from_server: bool = False, frame_bytes: int = 64 * 1024) -> AsyncIterator[Clogged]:
        """A pair whose one side cannot send any more, because the other does not read."""
        async with self.connected_pair() as (client, server), anyio.create_task_group() as tasks:
            sender, receiver = (server, client) if from_server else (client, server)
            clogged = Clogged(sender, receiver, frame_bytes, self.capabilities.buffered_bytes)
            tasks.start_soon(clogged.pump)
            await self._blocked(clogged)
            clogged.reading = True
            try:
                yield clogged
            finally:
                clogged.scope.cancel()
                with anyio.move_on_after(_HEARS_S, shield=True):
                    await clogged.stopped.wait()
                # Wakes a send that does not hear of being cancelled.
                sender.abort()

    async def _blocked(self, clogged: Clogged) -> None:
        # Nothing but quiet shows that a sender is blocked.
        before, looks = -1, 0
        while looks < _LOOKS:
            looks = looks + 1 if clogged.handed_over == before else 0
            before = clogged.handed_over
            await anyio.sleep(self.capabilities.quiet_s / _LOOKS)
        assert not clogged.stopped.is_set(), clogged.end
