"""Conversations of each protocol, led to targets of each kind: what comes of those that the target does not speak."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from dependency_injector import providers
from support.app_kit import OTHER_TOKEN, FakeStream, Recorder, World, group
from support.fake_upstream import FakeTarget
from support.shop import Shop

from tunnel.adapters.clock import AnyioClock
from tunnel.app.client import Client
from tunnel.app.container import ServerContainer
from tunnel.app.foreign_conversations import ForeignConversations
from tunnel.app.forward_router import ForwardRouter
from tunnel.app.forward_rules import ForwardRules
from tunnel.app.forward_target import ForwardTarget
from tunnel.app.ledger import Ledger
from tunnel.app.server import Server
from tunnel.domain.call_head import CallHead
from tunnel.domain.configuration import (
    EjectionSettings,
    ForwardRule,
    ForwardSettings,
    MiddlewareSettings,
    UpstreamSettings,
)
from tunnel.domain.envelopes import HttpRequest, HttpResponse, Opening, TcpOpen
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.metrics import Counters
from tunnel.domain.rules.rule import Rule
from tunnel.ports.target import Stream
from tunnel.ports.telemetry import MemberEjected, ProtocolUnanswered, SessionFailed, TargetEjected
from tunnel.testing.target.dialects import DIALECTS

pytestmark = pytest.mark.anyio

TARGETS = {
    "http": ("http://127.0.0.1:1", "http://127.0.0.1:2"),
    "https": ("https://127.0.0.1:1", "https://127.0.0.1:2"),
    "unix": ("unix:/one", "unix:/two"),
    "asgi": ("asgi:support.shop:Shop()",),
    "wsgi": ("wsgi:wsgiref.simple_server:demo_app",),
    "app": ("app:one", "app:two"),
    "grpc": ("grpc://127.0.0.1:1", "grpc://127.0.0.1:2"),
    "grpcs": ("grpcs://127.0.0.1:1", "grpcs://127.0.0.1:2"),
}
"""By kind; those of ``tcp:`` cannot be led to by a rule, and nothing else by a listener of TCP."""

ANSWERED = {kind: ("grpc",) if kind.startswith("grpc") else ("http", "websocket") for kind in TARGETS}
ONLY = {kind: "gRPC calls" if kind.startswith("grpc") else "HTTP and WebSocket" for kind in TARGETS}

MATRIX = [(protocol, kind) for kind in TARGETS for protocol in ("http", "websocket", "grpc")]
FOREIGN = [(protocol, kind) for protocol, kind in MATRIX if protocol not in ANSWERED[kind]]
KNOWN = [cell for cell in MATRIX if cell not in FOREIGN]

AT_ONCE = EjectionSettings(after_failures=1)


def anything(heads: list[Opening]) -> FakeTarget:
    """Answers whatever it is given, and keeps that."""

    async def answer(stream: Stream) -> None:
        heads.append(stream.head)
        await stream.send(HttpResponse(200, end=True))

    return FakeTarget(answer, protocols=frozenset(DIALECTS))


def opening(protocol: str, kind: str) -> Opening:
    if protocol == "grpc":
        return CallHead(f"{kind}.v1.Any", "Unary", host=b"app.test").frame()
    path = f"/{kind}.v1.Any/Unary".encode()
    return HttpRequest("GET", path, host=b"app.test", protocol=protocol, end=protocol == "http")


class Stage:
    """A server with two clients that have upstreams of each kind, all of which are left out after one failure."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.heads: list[Opening] = []
        self.told = Recorder()
        self.told_clients = Recorder()

    @asynccontextmanager
    async def up(self) -> AsyncIterator[Server]:
        rules = tuple(Rule(path_prefix=f"/{kind}.v1.Any", upstream=kind) for kind in TARGETS)
        upstreams = {
            kind: UpstreamSettings(targets=targets, ejection=AT_ONCE, balance="round_robin")
            for kind, targets in TARGETS.items()
        }
        web = group(rules=rules, upstreams=upstreams, ejection=AT_ONCE, balance="round_robin")
        async with (
            self.world.server(groups={"web": web}, telemetry=self.told) as server,
            self._client("one") as one,
            self._client("two", token=OTHER_TOKEN) as two,
        ):
            await one.ready()
            await two.ready()
            yield server

    def _client(self, name: str, **settings: str) -> Client:
        container = self.world.client_container(telemetry=self.told_clients)
        for kind in TARGETS:
            container.targets.providers[kind].override(providers.Callable(lambda *_: anything(self.heads)))
        literal = tuple(url for urls in TARGETS.values() for url in urls if "//" not in url)
        allowed = ("127.0.0.0/8", *literal)
        plain = self.world.client(client_id=name, container=container, allow_targets=allowed, **settings)
        return Client(plain.settings, container=container, applications={"one": Shop(), "two": Shop()})


@pytest.fixture
def stage(world: World) -> Stage:
    return Stage(world)


async def refused(server: Server, protocol: str, kind: str) -> tuple[ErrorCode, str]:
    with pytest.raises(SessionError) as caught:
        await server._target.handle(FakeStream(opening(protocol, kind)))  # type: ignore[arg-type]
    return caught.value.code, caught.value.message


@pytest.mark.parametrize(("protocol", "kind"), FOREIGN)
async def test_foreign_conversation_has_no_route_and_nobody_is_left_out_for_it(
    stage: Stage, protocol: str, kind: str
) -> None:
    async with stage.up() as server:
        for _ in range(5):
            failure = await refused(server, protocol, kind)
            assert failure == (ErrorCode.ROUTE_NOT_FOUND, f"what is at this route answers {ONLY[kind]} only")
        assert [(each.labels.outcome, each.ended) for each in server.container.counters().sessions()] == [
            ("route_not_found", 5)
        ]
    assert stage.heads == []
    assert stage.told.of(MemberEjected) == stage.told.of(SessionFailed) == stage.told_clients.of(TargetEjected) == []
    # Once by each client, or by one of them, if all went there.
    told = stage.told_clients.of(ProtocolUnanswered)
    assert {*told} == {ProtocolUnanswered(kind, protocol, 1)}
    assert len(told) <= 2


async def test_conversations_that_targets_speak_reach_them(stage: Stage) -> None:
    async with stage.up() as server:
        for protocol, kind in KNOWN:
            await server._target.handle(FakeStream(opening(protocol, kind)))  # type: ignore[arg-type]
    assert len(stage.heads) == len(KNOWN)
    assert stage.told_clients.of(ProtocolUnanswered) == []


# -- the other way


@pytest.mark.parametrize("middleware", [(), ("names",)], ids=["plain", "guarded"])
@pytest.mark.parametrize(("protocol", "kind"), [*FOREIGN, ("made up", "http")])
async def test_what_a_client_opens_is_refused_likewise_and_its_rule_is_noted(
    protocol: str, kind: str, middleware: tuple[str, ...]
) -> None:
    told, heads, counters = Recorder(), list[Opening](), Counters()
    container, clock = ServerContainer(), AnyioClock()
    router = ForwardRouter(
        lambda *_: anything(heads),
        container.random(),
        telemetry=told,
        clock=clock,
        kinds=ServerContainer.middleware,
        start=lambda _: None,
    )
    rules = (ForwardRule(groups=("web",), upstream=kind, middleware=middleware),)
    settings = ForwardSettings(rules=rules, upstreams={kind: UpstreamSettings(targets=TARGETS[kind])})
    router.follow(settings, ForwardRules(rules), {"names": MiddlewareSettings(use="request_id")})
    target = ForwardTarget(router, group="web", member="laptop/one", ledger=Ledger(told, counters, clock))
    stream = FakeStream(opening(protocol, kind))  # type: ignore[arg-type]

    await target.handle(stream)

    assert stream.error is not None
    assert stream.error.code is ErrorCode.ROUTE_NOT_FOUND
    (labels,) = [each.labels for each in counters.sessions()]
    assert (labels.rule, labels.outcome) == ("forward.rules[0]", "route_not_found")
    assert told.events == [ProtocolUnanswered(kind, "unknown" if protocol == "made up" else protocol, 1)]
    assert heads == []
    await router.aclose()


async def test_protocols_that_a_peer_makes_up_are_one(world: World) -> None:
    told = Recorder()
    foreign = ForeignConversations("app", frozenset({"http"}), telemetry=told, clock=AnyioClock())
    for number in range(1000):
        assert foreign.refusal(f"made up {number}").code is ErrorCode.ROUTE_NOT_FOUND
    assert told.events == [ProtocolUnanswered("app", "unknown", 1)]


# -- TCP, which no rules are about


@pytest.mark.parametrize("upstream", ["http", "nobody"])
async def test_tcp_connection_is_refused_by_what_is_not_of_tcp(stage: Stage, upstream: str) -> None:
    async with stage.up() as server:
        web = server._target.group("web")
        assert web is not None
        attempt = server.container.ledger().begin(TcpOpen(upstream))
        with pytest.raises(SessionError) as caught:
            await web.handle(FakeStream(TcpOpen(upstream)), attempt)  # type: ignore[arg-type]
        assert caught.value.code is ErrorCode.NO_CLIENT
    assert stage.heads == []
    assert stage.told.of(MemberEjected) == []


# -- what is told


async def test_foreign_conversations_are_told_at_once_and_then_at_most_once_a_minute(world: World) -> None:
    told = Recorder()
    foreign = ForeignConversations("app", frozenset({"http"}), telemetry=told, clock=AnyioClock())
    for _ in range(3):
        foreign.refusal("grpc")
    foreign.refusal("websocket")
    await anyio.sleep(59)
    foreign.refusal("grpc")
    assert told.events == [ProtocolUnanswered("app", "grpc", 1), ProtocolUnanswered("app", "websocket", 1)]

    await anyio.sleep(1)
    foreign.refusal("grpc")
    assert told.events[2:] == [ProtocolUnanswered("app", "grpc", 4)]
