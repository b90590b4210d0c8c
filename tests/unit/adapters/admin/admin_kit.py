"""An inspection that shows what a test says, and visitors that call the application in this process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from tunnel.adapters.admin.application import AdminApplication
from tunnel.adapters.admin.endpoints import client_endpoints, server_endpoints
from tunnel.domain.configuration import AdminSettings
from tunnel.domain.errors import ConfigurationError
from tunnel.domain.metrics import Counters
from tunnel.ports.inspection import (
    ClientInspection,
    ClientPage,
    ClientView,
    Explained,
    GroupLoad,
    ListenerView,
    Measurement,
    NearMissView,
    Readiness,
    RulePage,
    RuleView,
    ServerInspection,
    Stats,
    Status,
    TunnelView,
)

LOOPBACK = AdminSettings(listen="127.0.0.1:0")
HOST = ("host", "127.0.0.1:8090")

STATS = Stats(links=2, tunnels=3, sessions=5, retained_bytes=700, promised_bytes=65536, tasks=11, open_files=13)
TUNNEL = TunnelView(
    tunnel_id="t1",
    transport="ws",
    address="192.0.2.1:4711",
    state="attached",
    published=True,
    sessions=5,
    round_trip_s=0.012,
    promised_bytes=65536,
    retained_bytes=700,
    config_version=1,
    config_hash="abc",
)
STATUS = Status(
    kind="server",
    version="1.2.3",
    uptime_s=61.5,
    settings_version=4,
    ready=True,
    reasons=(),
    listeners=(ListenerView("ingress", "http", "127.0.0.1:8080", accepting=True),),
    clients=1,
    tunnels=1,
    sessions=5,
    groups=("web",),
)
MEASUREMENT = Measurement(
    readiness=Readiness(True),
    version="1.2.3",
    settings_version=4,
    listeners=STATUS.listeners,
    stats=STATS,
    budget_bytes=1 << 30,
    groups=(
        GroupLoad(
            group='we"b\n',
            clients={"healthy": 2},
            tunnels={"attached": 2, "detached": 1},
            sessions=5,
            waiting_requests=7,
        ),
    ),
    round_trips_s=(0.0005, 0.02, 9.0),
)


class FakeServer(ServerInspection):
    """A server with one client and two rules, of whose methods one can be made to fail."""

    def __init__(self) -> None:
        self.ready = Readiness(True)
        self.failure: Exception | None = None
        self.asked: list[object] = []

    def readiness(self) -> Readiness:
        return self.ready

    async def status(self) -> Status:
        if self.failure is not None:
            raise self.failure
        return STATUS

    async def stats(self) -> Stats:
        return STATS

    async def measure(self) -> Measurement:
        return MEASUREMENT

    async def config(self) -> Mapping[str, object]:
        return {"rules": [], "admin": None}

    async def clients(self, *, offset: int, limit: int) -> ClientPage:
        self.asked.append((offset, limit))
        client = ClientView(
            principal="laptop", client_id="one", group="web", health="healthy", sessions=5, tunnels=(TUNNEL,)
        )
        return ClientPage(total=1, generation=3, next_offset=None, clients=(client,))

    async def rules(self, *, group: str | None, offset: int, limit: int, forward: str | None = None) -> RulePage | None:
        self.asked.append((group, offset, limit, *([forward] if forward else [])))
        if group not in (None, "web"):
            return None
        return RulePage(total=2, next_offset=1, rules=(RuleView("rules[0]", {"path_prefix": "/", "group": "web"}),))

    async def explain(self, url: str, *, method: str | None, forward: str | None = None) -> Explained:
        self.asked.append((url, method))
        if not url.startswith("http"):
            raise ConfigurationError("expected a URL", key_path="url")
        return Explained(
            group="web",
            upstream=None,
            targets=(),
            rule={"key": "rules[0]"},
            upstream_rule=None,
            near_misses=(NearMissView("rules[1]", ("host",), "host"),),
            reason="no rule of the group web matches",
        )


class FakeClient(ClientInspection):
    """A client with one tunnel."""

    def readiness(self) -> Readiness:
        return Readiness(True)

    async def status(self) -> Status:
        return msgspec.structs.replace(STATUS, kind="client", client_id="one")

    async def stats(self) -> Stats:
        return STATS

    async def measure(self) -> Measurement:
        return MEASUREMENT

    async def config(self) -> Mapping[str, object]:
        return {"group": "web"}

    async def tunnels(self) -> tuple[TunnelView, ...]:
        return (TUNNEL,)


@dataclass
class Got:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def server_application(
    inspection: ServerInspection | None = None,
    settings: AdminSettings = LOOPBACK,
    counters: Counters | None = None,
) -> AdminApplication:
    return AdminApplication(settings, server_endpoints(inspection or FakeServer(), counters or Counters()))


def client_application(settings: AdminSettings = LOOPBACK) -> AdminApplication:
    return AdminApplication(settings, client_endpoints(FakeClient(), Counters()))


async def get(
    application: AdminApplication, target: str, *headers: tuple[str, str], method: str = "GET", host: bool = True
) -> Got:
    """Make one request; the body that it may have is never sent, since nobody reads it."""
    path, _, query = target.partition("?")
    fields = [(name.encode(), value.encode()) for name, value in (*((HOST,) if host else ()), *headers)]
    scope = {"type": "http", "method": method, "path": path, "query_string": query.encode(), "headers": fields}
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("request bodies are not read")

    await application(scope, receive, send)
    start, body = sent
    return Got(start["status"], {name.decode(): value.decode() for name, value in start["headers"]}, body["body"])
