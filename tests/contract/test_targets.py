"""Upstreams under the contract of targets, each in every protocol it answers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, ClassVar

from contract.peers import free_address, grpc_server, http_server, tcp_server, websocket_server

from tunnel.adapters.grpc.upstream import GrpcUpstream
from tunnel.adapters.http.upstream import HttpUpstream
from tunnel.adapters.tcp.upstream import TcpUpstream
from tunnel.domain.limits import MIB
from tunnel.ports.target import UpstreamTarget
from tunnel.testing.target import GRPC, HTTP, TCP, WEBSOCKET, Behaviour, Peer, TargetContract, TargetHarness


def anywhere(*_: Any) -> bool:
    return True


class SocketHarness(TargetHarness):
    """Speaks to a server on loopback."""

    buffered_bytes = 16 * MIB
    server: ClassVar[Callable[[Peer], AbstractAsyncContextManager[str]]]

    @abstractmethod
    def target(self, address: str) -> UpstreamTarget: ...

    @asynccontextmanager
    async def peer(self, behaviour: Behaviour) -> AsyncIterator[Peer]:
        peer = Peer(behaviour)
        async with type(self).server(peer) as address:
            peer.target = self.target(address)
            try:
                yield peer
            finally:
                await peer.target.aclose()

    def nowhere(self) -> UpstreamTarget:
        return self.target(free_address())


class TcpHarness(SocketHarness):
    dialect = TCP
    protocols = frozenset({"tcp"})
    server = tcp_server

    def target(self, address: str) -> TcpUpstream:
        return TcpUpstream(f"tcp://{address}", permits=anywhere)


class HttpHarness(SocketHarness):
    dialect = HTTP
    protocols = frozenset({"http", "websocket"})
    server = http_server

    def target(self, address: str) -> HttpUpstream:
        return HttpUpstream(target=f"http://{address}", permits=anywhere)


class WebSocketHarness(HttpHarness):
    dialect = WEBSOCKET
    server = websocket_server


class GrpcHarness(SocketHarness):
    dialect = GRPC
    protocols = frozenset({"grpc"})
    server = grpc_server

    def target(self, address: str) -> GrpcUpstream:
        return GrpcUpstream(target=f"grpc://{address}", permits=anywhere)


class TestTcpUpstream(TargetContract):
    harness = TcpHarness


class TestHttpUpstream(TargetContract):
    harness = HttpHarness


class TestHttpUpstreamOnUvloop(TargetContract):
    harness = HttpHarness
    event_loop = ("asyncio", {"use_uvloop": True})


class TestHttpUpstreamSpeakingWebSocket(TargetContract):
    harness = WebSocketHarness


class TestHttpUpstreamSpeakingWebSocketOnUvloop(TargetContract):
    harness = WebSocketHarness
    event_loop = ("asyncio", {"use_uvloop": True})


class TestGrpcUpstream(TargetContract):
    harness = GrpcHarness
