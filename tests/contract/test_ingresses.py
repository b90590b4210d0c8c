"""Ingresses under their contract."""

from __future__ import annotations

from contract.door_visitor import DoorVisitor
from contract.visitors import GrpcVisitor, HttpVisitor, TcpVisitor, connection
from support.door import Door

from tunnel.adapters.grpc.ingress import GrpcIngress
from tunnel.adapters.http.ingress_uvicorn import UvicornIngress
from tunnel.adapters.tcp.ingress import TcpIngress
from tunnel.domain.configuration import GrpcIngressSettings, HttpIngressSettings
from tunnel.domain.limits import KIB, MIB
from tunnel.testing.event_loops import VIRTUAL
from tunnel.testing.ingress import IngressContract, IngressHarness
from tunnel.testing.target import GRPC, HTTP, TCP

ANYWHERE = "127.0.0.1:0"


class TcpHarness(IngressHarness):
    dialect = TCP
    buffered_bytes = 16 * MIB

    def ingress(self, address: str | None = None) -> TcpIngress:
        return TcpIngress(address or ANYWHERE, name="tcp", upstream="kit")

    async def visit(self, address: str) -> TcpVisitor:
        return TcpVisitor(*await connection(address))


class HttpHarness(IngressHarness):
    dialect = HTTP
    buffered_bytes = 16 * MIB

    def ingress(self, address: str | None = None) -> UvicornIngress:
        return UvicornIngress(address or ANYWHERE)

    async def visit(self, address: str) -> HttpVisitor:
        visitor = HttpVisitor(*await connection(address))
        await visitor.begin()
        return visitor


class GrpcHarness(IngressHarness):
    dialect = GRPC
    buffered_bytes = 4 * MIB

    def ingress(self, address: str | None = None) -> GrpcIngress:
        return GrpcIngress(GrpcIngressSettings(listen=address or ANYWHERE))

    async def visit(self, address: str) -> GrpcVisitor:
        return GrpcVisitor(address)


class DoorHarness(IngressHarness):
    dialect = HTTP
    buffered_bytes = 256 * KIB

    def __init__(self) -> None:
        self._doors: dict[str, Door] = {}
        self._made = 0

    def ingress(self, address: str | None = None) -> Door:
        self._made += 1
        return Door(HttpIngressSettings(listen=address or f"127.0.0.1:{self._made}"), self._doors)

    async def visit(self, address: str) -> DoorVisitor:
        return DoorVisitor(self._doors[address])


class TestTcpIngress(IngressContract):
    harness = TcpHarness


class TestUvicornIngress(IngressContract):
    harness = HttpHarness


class TestUvicornIngressOnUvloop(IngressContract):
    harness = HttpHarness
    event_loop = ("asyncio", {"use_uvloop": True})


class TestGrpcIngress(IngressContract):
    harness = GrpcHarness


class TestDoor(IngressContract):
    harness = DoorHarness


class TestDoorInVirtualTime(IngressContract):
    harness = DoorHarness
    event_loop = VIRTUAL
