"""Dialling links over gRPC."""

from __future__ import annotations

import asyncio
from typing import Final
from urllib.parse import urlsplit

import grpc.aio

from tunnel.adapters.grpc.client_stream import BytesCall, ClientStream
from tunnel.adapters.grpc.link import GrpcLink
from tunnel.adapters.grpc.options import CHANNEL_OPTIONS, PROXY, SERVICE, TRANSPORT_METADATA
from tunnel.adapters.grpc.status import unusable
from tunnel.domain.errors import LinkEnd, LinkError
from tunnel.domain.identity import PeerInfo
from tunnel.ports.transport import Transport

__all__ = ["GrpcTransport"]

_STATUS_GRACE_S: Final = 0.05
"""A refusal's empty initial metadata may come just before its status; a server that does not mark its own is given
this long."""


class GrpcTransport(Transport):
    """Opens links to ``grpc://host:port``, each over a connection of its own.

    A link is returned once the server has accepted the stream. Nothing of an attempt that failed or was cancelled
    stays behind. Needs asyncio.
    """

    async def connect(self, url: str, *, timeout_s: float) -> GrpcLink:
        target = _target(url)
        channel = grpc.aio.insecure_channel(target, options=CHANNEL_OPTIONS)
        call: BytesCall = channel.stream_stream(f"/{SERVICE}/{PROXY}", None, None)(None, wait_for_ready=False)
        try:
            async with asyncio.timeout(timeout_s):
                await _accepted(call)
        except BaseException as error:
            call.cancel()
            await channel.close(None)
            if isinstance(error, TimeoutError):
                raise LinkError(LinkEnd.UNREACHABLE, f"no answer within {timeout_s:g} s") from error
            raise
        return GrpcLink(ClientStream(channel, call), PeerInfo("grpc", target))


async def _accepted(call: BytesCall) -> None:
    # Of a link that was accepted and has ended since, the link itself will tell.
    if TRANSPORT_METADATA in tuple(await call.initial_metadata()):
        return
    if not call.done():
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        call.add_done_callback(lambda _: None if ended.done() else ended.set_result(None))
        await asyncio.wait([ended], timeout=_STATUS_GRACE_S)
    if call.done():
        raise unusable(await call.code(), await call.details())


def _target(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise LinkError(LinkEnd.UNREACHABLE, "expected grpc://host:port") from error
    if parts.scheme != "grpc":
        raise LinkError(LinkEnd.UNREACHABLE, f"scheme {parts.scheme!r} is not supported here")
    if not host or port is None or parts.path.strip("/") or parts.query or "@" in parts.netloc:
        raise LinkError(LinkEnd.UNREACHABLE, "expected grpc://host:port")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
