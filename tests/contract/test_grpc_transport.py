"""The gRPC transport under the contract of transports."""

from __future__ import annotations

import os

from tunnel.adapters.grpc.listener import GrpcListener
from tunnel.adapters.grpc.transport import GrpcTransport
from tunnel.testing.contract import EXAMPLES
from tunnel.testing.transport import SocketHarness, TransportCapabilities, TransportContract

FULL = os.environ.get("TUNNEL_FULL") == "1"


class GrpcHarness(SocketHarness):
    scheme = "grpc"
    # Two loopback connections, because of the relay, and the windows of HTTP/2.
    capabilities = TransportCapabilities(buffered_bytes=24 * 1024 * 1024)

    def listener_at(self, address: str) -> GrpcListener:
        return GrpcListener(address)

    def transport(self) -> GrpcTransport:
        return GrpcTransport()


class TestGrpcTransport(TransportContract):
    harness = GrpcHarness
    # A server and a channel for each example.
    examples = EXAMPLES if FULL else 10
