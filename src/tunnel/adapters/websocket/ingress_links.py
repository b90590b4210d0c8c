"""Links that come in on an ingress for visitors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import anyio

from tunnel.adapters.websocket.address import format_address
from tunnel.adapters.websocket.asgi_link import AsgiLink
from tunnel.adapters.websocket.connection import SUBPROTOCOL, quiet_logger
from tunnel.adapters.websocket.handover import switch
from tunnel.adapters.websocket.link import WebSocketLink
from tunnel.adapters.websocket.listener import certificate_of
from tunnel.domain.identity import PeerInfo
from tunnel.ports.ingress_links import IngressLinks
from tunnel.ports.transport import Link, LinkService, Listener

__all__ = ["WebSocketIngressLinks"]

_TRY_LATER = 1013


class WebSocketIngressLinks(IngressLinks):
    """Makes WebSocket links of what ingresses find. One listener at a time serves; another takes its place."""

    def __init__(self) -> None:
        self._logger = quiet_logger("server")
        self._serving: _IngressListener | None = None

    @property
    def accepting(self) -> bool:
        return self._serving is not None

    def listener(self, address: Callable[[], str]) -> Listener:
        return _IngressListener(self, address)

    def begin(self, listener: _IngressListener) -> None:
        """``listener`` serves from now on."""
        self._serving = listener

    def end(self, listener: _IngressListener) -> None:
        """``listener`` serves no more."""
        if self._serving is listener:
            self._serving = None

    def take(self, connection: Any, *, handshake: bytes, early: bytes) -> None:
        serving = self._serving
        assert serving is not None
        flow = switch(connection, handshake=handshake, early=early, logger=self._logger)
        if flow is None:
            return
        tls = connection.get_extra_info("ssl_object") is not None
        peer = PeerInfo("wss" if tls else "ws", format_address(flow.remote_address), certificate_of(flow))
        serving.start(WebSocketLink(flow, peer))

    async def serve_asgi(self, scope: Any, receive: Any, send: Any) -> None:
        serving = self._serving
        if serving is None:
            await send({"type": "websocket.close", "code": _TRY_LATER})
            return
        await send({"type": "websocket.accept", "subprotocol": str(SUBPROTOCOL), "headers": []})
        peer = PeerInfo(scope.get("scheme") or "ws", format_address(tuple(scope.get("client") or ())))
        await AsgiLink(receive, send, peer).run(serving.serve_here)


class _IngressListener(Listener):
    """A listener without a socket.

    Args:
        links: Whose this is.
        address: Where clients find it.
    """

    def __init__(self, links: WebSocketIngressLinks, address: Callable[[], str]) -> None:
        self._links = links
        self._address = address
        self._logger = quiet_logger("server")
        self._service: LinkService | None = None
        self._stopped = anyio.Event()
        self._emptied = anyio.Event()
        self._inside: set[Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._scopes: set[anyio.CancelScope] = set()

    @property
    def address(self) -> str:
        return self._address()

    def bind(self) -> None:
        """There is nothing to be had."""

    async def serve(self, service: LinkService, started: Callable[[], None]) -> None:
        if self._stopped.is_set():
            return
        self._service = service
        self._links.begin(self)
        try:
            started()
            await self._stopped.wait()
        finally:
            self.stop()
            for link in list(self._inside):
                link.abort()
            for task in self._tasks:
                task.cancel()
            for scope in self._scopes:
                scope.cancel()
            with anyio.CancelScope(shield=True):
                if self._inside:
                    await self._emptied.wait()

    def stop(self) -> None:
        self._stopped.set()
        self._links.end(self)

    def start(self, link: WebSocketLink) -> None:
        """Serve ``link`` in a task, which is this listener's."""
        task = asyncio.get_running_loop().create_task(self._serve_logged(link))
        self._inside.add(link)
        self._tasks.add(task)

        def done(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            self._leave(link)

        task.add_done_callback(done)

    async def serve_here(self, link: Link) -> None:
        """Serve ``link`` in the task that calls this, until it is over."""
        self._inside.add(link)
        try:
            with anyio.CancelScope() as scope:
                self._scopes.add(scope)
                try:
                    await self._serve(link)
                finally:
                    self._scopes.discard(scope)
        finally:
            self._leave(link)

    async def _serve(self, link: Link) -> None:
        assert self._service is not None
        try:
            await self._service.proxy(link)
            await link.aclose()
        finally:
            link.abort()

    async def _serve_logged(self, link: Link) -> None:
        try:
            await self._serve(link)
        except Exception:
            self._logger.exception("serving a link failed")

    def _leave(self, link: Link) -> None:
        self._inside.discard(link)
        if not self._inside and self._stopped.is_set():
            self._emptied.set()
