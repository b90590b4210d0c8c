"""Dialling links over gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

import anyio
import grpc.aio

from tunnel.adapters.grpc.client_stream import BytesCall, ClientStream
from tunnel.adapters.grpc.link import GrpcLink
from tunnel.adapters.grpc.options import CHANNEL_OPTIONS, PROXY, SERVICE, TRANSPORT_METADATA, Options
from tunnel.adapters.grpc.proxy import through
from tunnel.adapters.grpc.status import unusable
from tunnel.adapters.grpc.tls import channel_credentials
from tunnel.domain.configuration.proxies import Proxy
from tunnel.domain.errors import LinkEnd, LinkError
from tunnel.domain.identity import PeerInfo
from tunnel.domain.tls_material import TlsMaterial
from tunnel.ports.transport import Transport
from tunnel.sockets.task_end import end_task

__all__ = ["GrpcTransport"]

_DIRECTLY: Final[Mapping[str, Proxy]] = {}

_STATUS_GRACE_S: Final = 0.05
"""A refusal's empty initial metadata may come just before its status; a server that does not mark its own is given
this long."""

_SILENT_S: Final = 1.0
"""After this long without metadata on a connection that is up, the link is taken for usable. Something on the way may
hold them back until more follows, as nginx does over TLS; more follows when the client has registered."""


class GrpcTransport(Transport):
    """Opens links to ``grpc://host:port``, or with TLS to ``grpcs://host:port``, each over a connection of its own.

    A link is returned once the server has accepted the stream, or is connected and has refused nothing for a second:
    then the link itself tells how it ends. Nothing of an attempt that failed or was cancelled
    stays behind. Needs asyncio.

    Args:
        tls: What to prove and whom to trust; None: plain text.
        server_name: The name to verify; None: the URL's host.
        proxies: Through which HTTP proxies servers are reached, by their URLs; others are reached directly.
    """

    def __init__(
        self,
        *,
        tls: TlsMaterial | None = None,
        server_name: str | None = None,
        proxies: Mapping[str, Proxy] = _DIRECTLY,
    ) -> None:
        self._scheme = "grpc" if tls is None else "grpcs"
        self._credentials = None if tls is None else channel_credentials(tls)
        self._server_name = server_name
        self._proxies = proxies

    async def connect(self, url: str, *, timeout_s: float) -> GrpcLink:
        target = _target(url, self._scheme)
        channel = self._channel(target, self._proxies.get(url))
        stream = ClientStream(channel, f"/{SERVICE}/{PROXY}")
        try:
            async with asyncio.timeout(timeout_s):
                if await _answered(stream.call, channel):
                    await _accepted(stream.call)
        except BaseException as error:
            # Who is cancelled by anyio is cancelled again at every await, and the channel would stay open.
            with anyio.CancelScope(shield=True):
                await stream.release()
            if isinstance(error, TimeoutError):
                raise LinkError(LinkEnd.UNREACHABLE, f"no answer within {timeout_s:g} s") from error
            raise
        return GrpcLink(stream, PeerInfo(self._scheme, target))

    def _channel(self, target: str, proxy: Proxy | None) -> grpc.aio.Channel:
        server_name = self._server_name
        options: Options = CHANNEL_OPTIONS
        if proxy is not None:
            server_name = server_name or target.rpartition(":")[0].strip("[]")
            options = (*options, *through(proxy, target))
        dialled = target if proxy is None else proxy.authority
        if self._credentials is None:
            return grpc.aio.insecure_channel(dialled, options=options)
        if server_name is not None:
            options = (*options, ("grpc.ssl_target_name_override", server_name))
        return grpc.aio.secure_channel(dialled, self._credentials, options=options)


async def _answered(call: BytesCall, channel: grpc.aio.Channel) -> bool:
    """Wait for initial metadata, or the end; whether they came, and are not just held back on the way."""

    async def answered() -> None:
        await call.initial_metadata()

    answer = asyncio.create_task(answered(), name="tunnel grpc link answer")
    try:
        while not (await asyncio.wait([answer], timeout=_SILENT_S))[0]:
            if channel.get_state() is grpc.ChannelConnectivity.READY:
                return False
    finally:
        await end_task(answer)
    return True


async def _accepted(call: BytesCall) -> None:
    if TRANSPORT_METADATA in tuple(await call.initial_metadata()):
        return
    if not call.done():
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        call.add_done_callback(lambda _: None if ended.done() else ended.set_result(None))
        await asyncio.wait([ended], timeout=_STATUS_GRACE_S)
    # Of a link that was accepted and has ended since, the link itself will tell. grpc.aio learns of both one after the
    # other, and may show nothing of the first then.
    if call.done() and TRANSPORT_METADATA not in tuple(await call.trailing_metadata() or ()):
        raise unusable(await call.code(), await call.details())


def _target(url: str, scheme: str) -> str:
    expected = f"expected {scheme}://host:port"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise LinkError(LinkEnd.UNREACHABLE, expected) from error
    if parts.scheme != scheme:
        raise LinkError(LinkEnd.UNREACHABLE, f"scheme {parts.scheme!r} is not supported here")
    if not host or port is None or parts.path.strip("/") or parts.query or "@" in parts.netloc:
        raise LinkError(LinkEnd.UNREACHABLE, expected)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
