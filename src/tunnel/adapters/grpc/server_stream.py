"""The accepting side of a gRPC stream.

grpc.aio gives a server no way to reset a call: it ends when its handler returns, with a status that waits behind the
messages not yet sent. So finishing and dropping both mean telling the handler how to return. Nor does it tell a read
that failed from a clean end. So a client that closes in order says so (``FAREWELL``), and every other end is a loss.
"""

from __future__ import annotations

import asyncio
import ssl
from functools import lru_cache
from typing import Final, TypeAlias
from urllib.parse import unquote

import grpc.aio

from tunnel.adapters.grpc.link import GrpcStream
from tunnel.adapters.grpc.options import FAREWELL
from tunnel.adapters.grpc.status import status_of
from tunnel.domain.certificate import Certificate, parse_certificate
from tunnel.domain.errors import LinkEnd, LinkError
from tunnel.domain.identity import PeerInfo

__all__ = ["BytesContext", "ServerStream", "peer_address", "peer_host", "peer_of"]

BytesContext: TypeAlias = "grpc.aio.ServicerContext[bytes, bytes]"

_HOSTS: Final = 1024
"""Callers whose addresses are remembered taken apart; each makes many calls on one connection."""


class ServerStream(GrpcStream):
    """A stream that a client opened.

    The handler awaits ``serve``; when that has returned or raised, gRPC is not touched again.
    """

    def __init__(self, context: BytesContext) -> None:
        self._context = context
        self._outcome: asyncio.Future[LinkError | None] = asyncio.get_running_loop().create_future()
        self._lost = False

    async def serve(self) -> None:
        """Wait for the end of the stream and let gRPC tell the client, by returning or by raising."""
        try:
            why = await self._outcome
        except asyncio.CancelledError:
            self._lost = True
            self.drop(LinkError(LinkEnd.BROKEN, "the client is gone"))
            raise
        if why is None:
            return
        try:
            await self._context.abort(status_of(why.end), why.reason)
        except grpc.aio.AbortError:
            raise
        except grpc.aio.BaseError:
            return  # the client went before it could be told

    async def read(self) -> bytes:
        self._raise_if_over()
        try:
            message = await self._context.read()
        except grpc.aio.BaseError as error:
            raise self._end() from error
        if message == FAREWELL:
            raise LinkError(LinkEnd.ENDED, "the client closed the link")
        if isinstance(message, bytes):
            return message
        raise self._end()  # grpc.aio.EOF

    async def write(self, data: bytes) -> None:
        self._raise_if_over()
        try:
            await self._context.write(data)
        except grpc.aio.BaseError as error:
            raise self._end() from error

    async def finish(self) -> None:
        if not self._outcome.done():
            self._outcome.set_result(None)

    def drop(self, why: LinkError) -> None:
        if not self._outcome.done():
            self._outcome.set_result(why)

    async def release(self) -> None:
        """Nothing to give back: the handler does it by returning."""

    def _raise_if_over(self) -> None:
        if self._lost:
            raise self._end()

    def _end(self) -> LinkError:
        return LinkError(LinkEnd.BROKEN, "the client is gone")


def peer_of(context: BytesContext, scheme: str) -> PeerInfo:
    """Who calls.

    Args:
        context: Of the call.
        scheme: ``grpc``, or ``grpcs`` with TLS.
    """
    return PeerInfo(scheme, peer_address(context), _certificate(context))


def peer_address(context: BytesContext) -> str:
    """``host:port`` of who calls; gRPC says ``ipv4:host:port`` or ``ipv6:%5Bhost%5D:port``."""
    _, _, address = unquote(context.peer()).partition(":")
    return address


@lru_cache(maxsize=_HOSTS)
def _host(peer: str) -> str:
    return unquote(peer).partition(":")[2].rpartition(":")[0].strip("[]")


def peer_host(context: BytesContext) -> str:
    """The address of who calls, without port and brackets."""
    return _host(context.peer())


def _certificate(context: BytesContext) -> Certificate | None:
    """The certificate that gRPC has verified of the client, if it was asked for one."""
    for pem in context.auth_context().get("x509_pem_cert", ()):
        return parse_certificate(ssl.PEM_cert_to_DER_cert(pem.decode("ascii")))
    return None
