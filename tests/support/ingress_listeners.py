"""Ingresses as listeners for links: what tests of transports need of them."""

from __future__ import annotations

import socket
import ssl
from abc import abstractmethod
from collections.abc import Callable

import anyio
import uvicorn

from tunnel.adapters.http.ingress_asgi import AsgiIngress
from tunnel.adapters.http.ingress_types import IngressSettings
from tunnel.adapters.http.ingress_uvicorn import UvicornIngress
from tunnel.adapters.websocket.ingress_links import WebSocketIngressLinks
from tunnel.domain.envelopes import HttpResponse
from tunnel.domain.errors import ListenError
from tunnel.ports.target import ProxyTarget, Stream
from tunnel.ports.transport import LinkService, Listener

__all__ = ["LinksOnIngress", "LinksOnUvicorn", "Visited"]


class Visited(ProxyTarget):
    """Answers every visitor alike."""

    async def handle(self, stream: Stream) -> None:
        await stream.send(HttpResponse(200, (), b"visited", end=True))


class _OnePort(Listener):
    """Visitors and links at one address."""

    def __init__(self) -> None:
        self.links = WebSocketIngressLinks()
        self._listener = self.links.listener(lambda: self.address)

    async def serve(self, service: LinkService, started: Callable[[], None]) -> None:
        ready = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._serve_visitors, ready.set)
            await ready.wait()
            try:
                await self._listener.serve(service, started)
            finally:
                self._leave()

    def stop(self) -> None:
        self._listener.stop()
        self._leave()

    @abstractmethod
    async def _serve_visitors(self, started: Callable[[], None]) -> None: ...

    @abstractmethod
    def _leave(self) -> None: ...


class LinksOnIngress(_OnePort):
    """Our own HTTP listener."""

    def __init__(self, listen: str, *, ssl_context: ssl.SSLContext | None = None) -> None:
        super().__init__()
        self.ingress = UvicornIngress(listen, settings=IngressSettings(links=self.links), ssl_context=ssl_context)

    @property
    def address(self) -> str:
        return self.ingress.address

    def bind(self) -> None:
        self.ingress.bind()

    async def _serve_visitors(self, started: Callable[[], None]) -> None:
        await self.ingress.serve(Visited(), started)
        started()

    def _leave(self) -> None:
        self.ingress.drain(0)


class LinksOnUvicorn(_OnePort):
    """The ASGI application under stock uvicorn."""

    def __init__(self, listen: str) -> None:
        super().__init__()
        self._listen = listen
        self._socket: socket.socket | None = None
        application = AsgiIngress(Visited(), settings=IngressSettings(links=self.links))
        self._server = uvicorn.Server(
            uvicorn.Config(application, ws="websockets-sansio", lifespan="off", log_config=None, loop="none")
        )

    @property
    def address(self) -> str:
        return self._listen

    def bind(self) -> None:
        host, _, port = self._listen.rpartition(":")
        try:
            self._socket = socket.create_server((host, int(port)))
            self._listen = "{}:{}".format(*self._socket.getsockname())
        except OSError as exc:
            raise ListenError(self._listen, str(exc)) from exc

    async def _serve_visitors(self, started: Callable[[], None]) -> None:
        assert self._socket is not None
        config = self._server.config
        config.load()
        self._server.lifespan = config.lifespan_class(config)
        if self._server.should_exit:
            started()
            return
        await self._server.startup(sockets=[self._socket.dup()])
        try:
            started()
            await self._server.main_loop()
            await self._server.shutdown()
        finally:
            for each in self._server.servers:
                each.close()

    def _leave(self) -> None:
        self._server.should_exit = True
        if self._socket is not None:
            self._socket.close()  # the server listens on a duplicate
