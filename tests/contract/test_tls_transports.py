"""The transports with TLS under the contract of transports."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from support.certificates import Authority

from tunnel.adapters.grpc.listener import GrpcListener
from tunnel.adapters.grpc.transport import GrpcTransport
from tunnel.adapters.tls.client import OpensslClientTls
from tunnel.adapters.tls.listener import OpensslListenerTls
from tunnel.adapters.websocket.listener import WebSocketListener
from tunnel.adapters.websocket.transport import WebSocketTransport
from tunnel.testing.transport import SocketHarness, TransportCapabilities, TransportContract


@cache
def ends() -> tuple[OpensslListenerTls, OpensslClientTls]:
    """Both ends' certificates, made once: they are read when these are, and their files are not needed any more."""
    with TemporaryDirectory() as directory:
        authority = Authority(Path(directory))
        server = OpensslListenerTls(authority.listener(client_ca=authority.file), "transports.grpc.tls")
        return server, OpensslClientTls(authority.client("laptop"))


class TlsHarness(SocketHarness):
    # As without TLS, and what OpenSSL and asyncio hold in addition.
    capabilities = TransportCapabilities(buffered_bytes=24 * 1024 * 1024, certificates=True)

    def __init__(self) -> None:
        super().__init__()
        self._server, self._client = ends()


class GrpcsHarness(TlsHarness):
    scheme = "grpcs"

    def listener_at(self, address: str) -> GrpcListener:
        return GrpcListener(address, tls=lambda: self._server.material)

    def transport(self) -> GrpcTransport:
        return GrpcTransport(tls=self._client.complete_material)


class WssHarness(TlsHarness):
    scheme = "wss"

    def listener_at(self, address: str) -> WebSocketListener:
        return WebSocketListener(address, ssl_context=self._server.context)

    def transport(self) -> WebSocketTransport:
        return WebSocketTransport(ssl_context=self._client.context)


# gRPC's own core does its TLS: what of it is ours is tried with the listener's tests and end to end.
@pytest.mark.full
class TestGrpcsTransport(TransportContract):
    harness = GrpcsHarness


# uvloop's TLS is the one that commands run on; asyncio's is tried with the listener's tests and end to end.
class TestWssTransport(TransportContract):
    harness = WssHarness
    event_loop = ("asyncio", {"use_uvloop": True})
