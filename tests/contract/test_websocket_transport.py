"""The WebSocket transport under the contract of transports."""

from __future__ import annotations

from tunnel.adapters.websocket.listener import WebSocketListener
from tunnel.adapters.websocket.transport import WebSocketTransport
from tunnel.testing.transport import SocketHarness, TransportCapabilities, TransportContract


class WebSocketHarness(SocketHarness):
    scheme = "ws"
    # Two loopback connections, because of the relay, each with up to 4 MiB to send and 6 MiB received.
    capabilities = TransportCapabilities(buffered_bytes=24 * 1024 * 1024)

    def listener_at(self, address: str) -> WebSocketListener:
        return WebSocketListener(address)

    def transport(self) -> WebSocketTransport:
        return WebSocketTransport()


class TestWebSocketTransport(TransportContract):
    harness = WebSocketHarness


class TestWebSocketTransportOnUvloop(TransportContract):
    harness = WebSocketHarness
    event_loop = ("asyncio", {"use_uvloop": True})
