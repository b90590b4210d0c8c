"""Links that come in where visitors do, under the contract of transports."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.certificates import Authority
from support.ingress_listeners import LinksOnIngress, LinksOnUvicorn
from support.sockets import SocketHarness

from tunnel.adapters.tls.client import OpensslClientTls
from tunnel.adapters.tls.listener import OpensslListenerTls
from tunnel.adapters.websocket.transport import WebSocketTransport
from tunnel.domain.link_entry import LINK_PATH
from tunnel.ports.transport import Listener
from tunnel.testing.transport import TransportCapabilities, TransportContract


class IngressHarness(SocketHarness):
    scheme = "ws"
    # As on a listener for links alone, whose code serves them.
    capabilities = TransportCapabilities(buffered_bytes=24 * 1024 * 1024)

    def listener_at(self, address: str) -> Listener:
        return LinksOnIngress(address)

    def transport(self) -> WebSocketTransport:
        return WebSocketTransport()

    def url(self, listener: Listener) -> str:
        return super().url(listener) + LINK_PATH


class IngressWithTlsHarness(IngressHarness):
    scheme = "wss"

    def __init__(self, server: OpensslListenerTls, client: OpensslClientTls) -> None:
        super().__init__()
        self._server = server
        self._client = client

    def listener_at(self, address: str) -> Listener:
        return LinksOnIngress(address, ssl_context=self._server.context)

    def transport(self) -> WebSocketTransport:
        return WebSocketTransport(ssl_context=self._client.context)


class UvicornHarness(IngressHarness):
    # What uvicorn queues of messages that the application has not asked for.
    capabilities = TransportCapabilities(buffered_bytes=32 * 1024 * 1024)

    def listener_at(self, address: str) -> Listener:
        return LinksOnUvicorn(address)


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> tuple[OpensslListenerTls, OpensslClientTls]:
    directory: Path = tmp_path_factory.mktemp("certificates")
    authority = Authority(directory)
    server = OpensslListenerTls(authority.listener(client_ca=authority.file), "ingress.http.tls")
    return server, OpensslClientTls(authority.client("laptop"))


@pytest.mark.parametrize(
    "anyio_backend",
    [
        pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio", marks=pytest.mark.full),
        pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
    ],
)
class TestLinksOnIngress(TransportContract):
    @pytest.fixture
    def harness(self) -> IngressHarness:
        return IngressHarness()


# What is handed over is the transport of TLS as it is; that it works is shown end to end each time.
@pytest.mark.full
@pytest.mark.parametrize("anyio_backend", [pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop")])
class TestLinksOnIngressWithTls(TransportContract):
    @pytest.fixture
    def harness(self, ends: tuple[OpensslListenerTls, OpensslClientTls]) -> IngressWithTlsHarness:
        return IngressWithTlsHarness(*ends)


@pytest.mark.full
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
class TestLinksOnUvicorn(TransportContract):
    @pytest.fixture
    def harness(self) -> UvicornHarness:
        return UvicornHarness()
