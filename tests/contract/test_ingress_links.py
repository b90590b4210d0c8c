"""Links that come in where visitors do, under the contract of transports."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from support.certificates import Authority
from support.ingress_listeners import LinksOnIngress, LinksOnUvicorn

from tunnel.adapters.tls.client import OpensslClientTls
from tunnel.adapters.tls.listener import OpensslListenerTls
from tunnel.adapters.websocket.transport import WebSocketTransport
from tunnel.domain.link_entry import LINK_PATH
from tunnel.ports.transport import Listener
from tunnel.testing.transport import SocketHarness, TransportCapabilities, TransportContract


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


@cache
def ends() -> tuple[OpensslListenerTls, OpensslClientTls]:
    """Both ends' certificates, made once: they are read when these are, and their files are not needed any more."""
    with TemporaryDirectory() as directory:
        authority = Authority(Path(directory))
        server = OpensslListenerTls(authority.listener(client_ca=authority.file), "ingress.http.tls")
        return server, OpensslClientTls(authority.client("laptop"))


class IngressWithTlsHarness(IngressHarness):
    scheme = "wss"
    capabilities = replace(IngressHarness.capabilities, certificates=True)

    def __init__(self) -> None:
        super().__init__()
        self._server, self._client = ends()

    def listener_at(self, address: str) -> Listener:
        return LinksOnIngress(address, ssl_context=self._server.context)

    def transport(self) -> WebSocketTransport:
        return WebSocketTransport(ssl_context=self._client.context)


class UvicornHarness(IngressHarness):
    # What uvicorn queues of messages that the application has not asked for, more of it on a busy machine.
    capabilities = TransportCapabilities(buffered_bytes=48 * 1024 * 1024)

    def listener_at(self, address: str) -> Listener:
        return LinksOnUvicorn(address)


@pytest.mark.full
class TestLinksOnIngress(TransportContract):
    harness = IngressHarness


class TestLinksOnIngressOnUvloop(TransportContract):
    harness = IngressHarness
    event_loop = ("asyncio", {"use_uvloop": True})


# What is handed over is the transport of TLS as it is; that it works is shown end to end each time.
@pytest.mark.full
class TestLinksOnIngressWithTls(TransportContract):
    harness = IngressWithTlsHarness
    event_loop = ("asyncio", {"use_uvloop": True})


@pytest.mark.full
class TestLinksOnUvicorn(TransportContract):
    harness = UvicornHarness
