"""Accepting links over gRPC."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Final

import anyio
import anyio.abc
import grpc
import grpc.aio

from tunnel.adapters.grpc.address import Reservation
from tunnel.adapters.grpc.link import GrpcLink
from tunnel.adapters.grpc.options import CONFIG_SYNC, PROXY, REGISTER, SERVER_OPTIONS, SERVICE, TRANSPORT_METADATA
from tunnel.adapters.grpc.server_stream import BytesContext, ServerStream, peer_of
from tunnel.adapters.grpc.standing_server import StandingServer
from tunnel.adapters.grpc.tls import server_credentials
from tunnel.adapters.grpc.unary import answer_config_sync, answer_register
from tunnel.domain.errors import LinkError, ListenError
from tunnel.domain.tls_material import TlsMaterial
from tunnel.ports.transport import LinkService, Listener

__all__ = ["GrpcListener"]

_LOGGER: Final = logging.getLogger(__name__)

_CALLS: Final = 20_000
"""Calls under way at once, over all clients. Bounds memory before anybody is authenticated."""

_GRACE_S: Final = 0.25
"""How long dropped calls may take to tell their clients. Without it gRPC ends connections with an error that clients'
gRPC libraries print."""

_STOP_S: Final = 0.25
"""How long services may take to return after their links were dropped; then they are cancelled."""


class GrpcListener(Listener):
    """Serves proto service ``TunnelService`` on one address, once. Needs asyncio.

    Args:
        listen: ``host:port``, IPv6 hosts in brackets; port 0 takes a free one.
        tls: Asked at each handshake for what to prove; None: plain text.
        max_calls: Links and unary calls under way at once; more are refused with ``RESOURCE_EXHAUSTED``.
    """

    def __init__(self, listen: str, *, tls: Callable[[], TlsMaterial] | None = None, max_calls: int = _CALLS) -> None:
        self._listen = listen
        # gRPC does not keep them alive itself.
        self._credentials = None if tls is None else server_credentials(tls)
        self._max_calls = max_calls
        self._reservation: Reservation | None = None
        self._address = listen
        self._stopping = False
        self._stopped: asyncio.Event | None = None

    @property
    def address(self) -> str:
        return self._address

    def bind(self) -> None:
        if self._reservation is None:
            self._reservation = Reservation(self._listen)
            self._address = self._reservation.address

    def stop(self) -> None:
        self._stopping = True
        if self._stopped is not None:
            self._stopped.set()
        elif self._reservation is not None:
            self._reservation.release()

    async def serve(self, service: LinkService, started: Callable[[], None]) -> None:
        if self._stopping:
            return
        self._stopped = asyncio.Event()
        self.bind()
        async with anyio.create_task_group() as services:
            calls = _Calls(service, services, "grpc" if self._credentials is None else "grpcs")
            server = StandingServer(partial(self._server, calls.handlers()))
            await server.start()
            try:
                started()
                await self._stopped.wait()
            finally:
                with anyio.CancelScope(shield=True):
                    calls.drop()
                    await server.stop(_GRACE_S)
                    await calls.ended()
            services.cancel_scope.deadline = anyio.current_time() + _STOP_S

    def _server(self, handlers: grpc.GenericRpcHandler[bytes, bytes]) -> grpc.aio.Server:
        assert self._reservation is not None
        server = grpc.aio.server(options=SERVER_OPTIONS, maximum_concurrent_rpcs=self._max_calls)
        server.add_generic_rpc_handlers((handlers,))
        try:
            if self._credentials is None:
                server.add_insecure_port(self._reservation.release())
            else:
                server.add_secure_port(self._reservation.release(), self._credentials)
        except RuntimeError as error:
            raise ListenError(self._listen, "another process took the address") from error
        return server


class _Calls:
    """Answers the calls of one server and knows those under way."""

    def __init__(self, service: LinkService, services: anyio.abc.TaskGroup, scheme: str) -> None:
        self._service = service
        self._scheme = scheme
        self._services = services
        self._streams: dict[GrpcLink, asyncio.Future[None]] = {}
        self._dropping = False

    def handlers(self) -> grpc.GenericRpcHandler[bytes, bytes]:
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                REGISTER: grpc.unary_unary_rpc_method_handler(self._register),
                CONFIG_SYNC: grpc.unary_unary_rpc_method_handler(self._config_sync),
                PROXY: grpc.stream_stream_rpc_method_handler(self._proxy),
            },
        )

    def drop(self) -> None:
        """Drop all links; those that come in from now on are refused."""
        self._dropping = True
        for link in list(self._streams):
            link.abort()

    async def ended(self) -> None:
        """Wait until no handler is left."""
        while self._streams:
            await asyncio.wait(list(self._streams.values()))

    async def _register(self, data: bytes, context: BytesContext) -> bytes:
        return await answer_register(self._service, data, context, self._scheme)

    async def _config_sync(self, data: bytes, context: BytesContext) -> bytes:
        return await answer_config_sync(self._service, data, context, self._scheme)

    async def _proxy(self, _: object, context: BytesContext) -> None:
        await context.send_initial_metadata((TRANSPORT_METADATA,))
        # Of a stream that ends at once, a client may be shown the end alone.
        context.set_trailing_metadata((TRANSPORT_METADATA,))
        if self._dropping:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the server is stopping")
        stream = ServerStream(context)
        link = GrpcLink(stream, peer_of(context, self._scheme))
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._streams[link] = ended
        self._services.start_soon(self._serve, link)
        try:
            await stream.serve()
        finally:
            del self._streams[link]
            ended.set_result(None)

    async def _serve(self, link: GrpcLink) -> None:
        try:
            await self._service.proxy(link)
        except LinkError:
            pass  # the service let the link's own end pass
        except Exception:
            _LOGGER.exception("serving a link failed")
            link.abort()
        except BaseException:
            link.abort()
            raise
        await link.aclose()
