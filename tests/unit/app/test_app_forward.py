"""What clients open: who may reach what behind the server, through reloads, lost links and shutdowns."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import msgspec
import pytest
from dependency_injector import providers
from support.app_kit import FakeStream, FakeUpstream, Recorder, World, echo, group, until
from support.door import Door
from support.fake_upstream import FakeTarget

from tunnel.app.client import Client
from tunnel.app.server import Server
from tunnel.domain.configuration import (
    EntrySettings,
    ForwardRule,
    ForwardSettings,
    HttpEntrySettings,
    LimitsSettings,
    MiddlewareSettings,
    TargetPolicy,
    TcpEntrySettings,
    UpstreamSettings,
)
from tunnel.domain.envelopes import BodyChunk, HttpRequest, HttpResponse, TcpOpen
from tunnel.domain.errors import ConfigurationError, ErrorCode, SessionError
from tunnel.domain.metrics import SessionLabels
from tunnel.ports.target import Stream, UpstreamTarget
from tunnel.ports.telemetry import Listening, SessionEnded, SessionFailed, TunnelResumed

pytestmark = pytest.mark.anyio

BILLING = HttpRequest("GET", b"/x", host=b"billing.test", end=True)
UPLOAD = HttpRequest("POST", b"/x", host=b"billing.test")
FOR_WEB = ForwardRule(host="billing.test", groups=("web",), upstream="billing")


def forward(*rules: ForwardRule, port: int = 80, **upstreams: UpstreamSettings) -> ForwardSettings:
    return ForwardSettings(
        rules=rules, upstreams={"billing": UpstreamSettings(targets=(f"http://10.0.0.7:{port}",)), **upstreams}
    )


def with_forward(server: Server, settings: ForwardSettings) -> Any:
    return msgspec.structs.replace(server.settings, forward=settings)


class Stage:
    """A server that forwards and clients with entries."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.made: list[tuple[str, FakeUpstream]] = []
        self.handler = echo
        self.doors: dict[str, Door] = {}
        self.policies: list[TargetPolicy] = []

    def server(self, settings: ForwardSettings, telemetry: Recorder | None = None, **limits: Any) -> Server:
        container = self.world.server_container(telemetry)
        container.targets.providers["http"].override(providers.Callable(self._make))
        container.targets.providers["tcp"].override(
            providers.Callable(lambda *_: FakeTarget(echo_bytes, protocols=frozenset({"tcp"})))
        )
        plain = self.world.server(container=container, groups={"web": group(), "api": group()}, **limits)
        return Server(with_forward(plain, settings), container=container)

    def _make(self, url: str, settings: UpstreamSettings, policy: TargetPolicy) -> UpstreamTarget:
        self.made.append((url, FakeUpstream(self.handler)))
        self.policies.append(policy)
        return self.made[-1][1]

    def client(
        self, entry: EntrySettings | None = None, *, telemetry: Recorder | None = None, **settings: Any
    ) -> Client:
        container = self.world.client_container(FakeUpstream(), telemetry)
        for kind in ("http", "tcp"):
            container.ingresses.providers[kind].override(providers.Callable(lambda each, *_: Door(each, self.doors)))
        plain = self.world.client(container=container, **settings)
        entry = entry or EntrySettings(http=HttpEntrySettings(listen="127.0.0.1:9080"))
        return Client(msgspec.structs.replace(plain.settings, entry=entry), container=container)

    async def ask(self, head: Any = BILLING, *body: BodyChunk, at: str = "127.0.0.1:9080") -> FakeStream:
        stream = FakeStream(head, body)
        await self.hand_in(stream, at)
        return stream

    async def hand_in(self, stream: FakeStream, at: str = "127.0.0.1:9080") -> None:
        await self.doors[at].visit(stream)

    async def failure(self, head: Any = BILLING, *, at: str = "127.0.0.1:9080") -> ErrorCode:
        with pytest.raises(SessionError) as caught:
            await self.ask(head, at=at)
        return caught.value.code


async def echo_bytes(stream: Stream) -> None:
    ended = False
    while not ended:
        payload = await stream.receive()
        await stream.send(payload)
        ended = payload.end


@pytest.fixture
def stage(world: World) -> Stage:
    return Stage(world)


@asynccontextmanager
async def up(stage: Stage, settings: ForwardSettings, **of_client: Any) -> AsyncIterator[tuple[Server, Client]]:
    async with stage.server(settings) as server, stage.client(**of_client) as client:
        await client.ready()
        yield server, client


async def test_request_at_an_entry_reaches_an_upstream_of_the_server(stage: Stage) -> None:
    telemetry = Recorder()
    async with up(stage, forward(FOR_WEB), telemetry=telemetry) as (_, client):
        stream = await stage.ask(UPLOAD, BodyChunk(b"hello"), BodyChunk(b" there", end=True))
        assert (stream.answer and stream.answer.status, stream.body, stream.ended) == (200, b"hello there", True)
        ((url, upstream),) = stage.made
        assert (url, upstream.heads[0].host) == ("http://10.0.0.7:80", b"billing.test")
        assert client.addresses == {"entry.http": "127.0.0.1:9080"}
    assert telemetry.of(Listening) == [Listening("entry", "http", "127.0.0.1:9080")]
    assert upstream.closed == 1


@pytest.mark.parametrize(
    ("rules", "code"),
    [
        ((), ErrorCode.FORBIDDEN),
        ((ForwardRule(upstream="billing"),), ErrorCode.FORBIDDEN),
        ((ForwardRule(groups=("api",), upstream="billing"),), ErrorCode.FORBIDDEN),
        ((ForwardRule(host="other.test", groups=("web",), upstream="billing"),), ErrorCode.ROUTE_NOT_FOUND),
    ],
    ids=["no rule", "a rule for nobody", "a rule for another group", "a rule for another host"],
)
async def test_what_no_rule_grants_to_the_group_is_refused(
    stage: Stage, rules: tuple[ForwardRule, ...], code: ErrorCode
) -> None:
    async with up(stage, forward(*rules)):
        assert await stage.failure() is code
        assert [upstream.heads for _, upstream in stage.made] == [[]]


async def test_rule_of_another_group_does_not_count_even_where_it_is_closer(stage: Stage) -> None:
    other = UpstreamSettings(targets=("http://10.0.0.8:80",))
    closer = ForwardRule(host="billing.test", path="/x", groups=("api",), upstream="other")
    async with up(stage, forward(closer, FOR_WEB, other=other)):
        await stage.ask()
    assert {url: len(upstream.heads) for url, upstream in stage.made} == {
        "http://10.0.0.7:80": 1,
        "http://10.0.0.8:80": 0,
    }


async def test_server_dials_whatever_its_operator_has_written(stage: Stage) -> None:
    async with up(stage, forward(FOR_WEB)):
        (policy,) = stage.policies
    assert policy.permits("billing.internal.test", 80, "10.0.0.7")


@pytest.mark.parametrize("permitted", [("web",), ("api",), ()])
async def test_tcp_upstream_is_reached_only_by_a_rule_of_its_name_and_group(
    stage: Stage, permitted: tuple[str, ...]
) -> None:
    bastion = UpstreamSettings(targets=("tcp://10.0.0.8:22",))
    rule = ForwardRule(protocol="tcp", groups=permitted, upstream="bastion")
    hidden = UpstreamSettings(targets=("tcp://10.0.0.9:22",))
    async with up(stage, forward(FOR_WEB, rule, bastion=bastion, hidden=hidden)):
        if permitted == ("web",):
            stream = await stage.ask(TcpOpen("bastion"), BodyChunk(b"ssh", end=True))
            assert stream.body == b"ssh"
        else:
            assert await stage.failure(TcpOpen("bastion")) is ErrorCode.ROUTE_NOT_FOUND
        for name in ("hidden", "unheard-of", "billing", ""):
            assert await stage.failure(TcpOpen(name)) is ErrorCode.ROUTE_NOT_FOUND


# -- other settings


async def test_reload_grants_and_revokes_on_tunnels_that_are_there(stage: Stage) -> None:
    async with up(stage, forward()) as (server, _):
        assert await stage.failure() is ErrorCode.FORBIDDEN
        await server.reload(with_forward(server, forward(FOR_WEB)))
        assert (await stage.ask()).ended
        await server.reload(with_forward(server, forward()))
        assert await stage.failure() is ErrorCode.FORBIDDEN


async def test_replaced_upstream_finishes_its_conversations_and_is_closed_then(stage: Stage) -> None:
    async with up(stage, forward(FOR_WEB)) as (server, _):
        stream = FakeStream(UPLOAD)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stage.hand_in, stream)
            stream.feed(BodyChunk(b"before "))
            await until(lambda: stream.body)
            await server.reload(with_forward(server, forward(FOR_WEB, port=81)))
            await stage.ask()
            (_, old), (_, new) = stage.made
            assert (old.running, len(new.heads), old.closed) == (1, 1, 0)
            stream.feed(BodyChunk(b"after", end=True))
        assert stream.body == b"before after"
        await until(lambda: old.closed)
        assert new.closed == 0


def answered(stream: FakeStream) -> tuple[bytes, ...]:
    assert stream.answer is not None
    return stream.answer.headers


async def test_rules_send_what_clients_open_through_middleware(stage: Stage) -> None:
    guarded = msgspec.structs.replace(FOR_WEB, middleware=("named",))

    def settings(server: Server, value: str) -> Any:
        table = MiddlewareSettings("headers", {"response": {"set": {"x-by": value}}})
        return msgspec.structs.replace(server.settings, forward=forward(guarded), middleware={"named": table})

    async with up(stage, forward(FOR_WEB)) as (server, _):
        assert b"x-by" not in answered(await stage.ask())
        for value in ("first", "second"):
            await server.reload(settings(server, value))
            headers = answered(await stage.ask())
            assert (b"x-by", value.encode()) in zip(headers[::2], headers[1::2], strict=True)
        wrong = msgspec.structs.replace(settings(server, "x"), middleware={"named": MiddlewareSettings("nothing")})
        with pytest.raises(ConfigurationError):
            await server.reload(wrong)


async def test_upstream_dialled_as_before_is_kept_with_its_connections(stage: Stage) -> None:
    async with up(stage, forward(FOR_WEB)) as (server, _):
        await server.reload(with_forward(server, forward(FOR_WEB, ForwardRule(groups=("api",), upstream="billing"))))
        await stage.ask()
        ((_, upstream),) = stage.made
        assert (len(upstream.heads), upstream.closed) == (1, 0)


async def test_reload_that_fails_forwards_as_before(stage: Stage) -> None:
    def fail(*_: object) -> UpstreamTarget:
        raise RuntimeError("no such thing")

    async with up(stage, forward(FOR_WEB)) as (server, _):
        bad = UpstreamSettings(targets=("https://10.0.0.7",))
        server.container.targets.providers["https"].override(providers.Callable(fail))
        with pytest.raises(RuntimeError):
            await server.reload(with_forward(server, forward(bad=bad)))
        assert (await stage.ask()).ended
        assert server.version == 1


async def test_entries_come_move_and_go_without_a_new_tunnel(stage: Stage) -> None:
    async with up(stage, forward(FOR_WEB)) as (server, client):
        (before,) = (each.tunnels[0].tunnel_id for each in server.clients().clients)
        moved = EntrySettings(
            http=HttpEntrySettings(listen="127.0.0.1:9090"),
            tcp=(TcpEntrySettings(listen="127.0.0.1:9022", upstream="bastion"),),
        )
        await client.reload(msgspec.structs.replace(client.settings, entry=moved))
        assert client.addresses == {"entry.http": "127.0.0.1:9090", "entry.tcp-bastion": "127.0.0.1:9022"}
        await until(lambda: stage.doors["127.0.0.1:9080"].drains == [LimitsSettings().drain_s])
        assert (await stage.ask(at="127.0.0.1:9090")).ended
        renamed = msgspec.structs.replace(
            moved, tcp=(TcpEntrySettings(listen="127.0.0.1:9022", upstream="other"),), wait_for_server_s=1
        )
        kept = stage.doors["127.0.0.1:9022"]
        await client.reload(msgspec.structs.replace(client.settings, entry=renamed))
        assert kept.settings.upstream == "other"
        assert list(client.addresses) == ["entry.http", "entry.tcp-other"]
        await client.reload(msgspec.structs.replace(client.settings, entry=EntrySettings()))
        assert client.addresses == {}
        assert [each.tunnels[0].tunnel_id for each in server.clients().clients] == [before]


# -- tunnels that come and go


async def test_conversation_outlives_its_link(stage: Stage) -> None:
    telemetry = Recorder()
    async with stage.server(forward(FOR_WEB), telemetry) as _, stage.client() as client:
        await client.ready()
        stream = FakeStream(UPLOAD)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stage.hand_in, stream)
            for number in range(5):
                stream.feed(BodyChunk(b"%d" % number))
                await until(lambda number=number: len(stream.body) > number)
                stage.world.network.sever()
                await client.ready()
            stream.feed(BodyChunk(end=True))
        assert (stream.body, stream.ended) == (b"01234", True)
    assert len(telemetry.of(TunnelResumed)) == 5


async def test_without_a_tunnel_a_conversation_fails_at_once(stage: Stage) -> None:
    async with stage.client() as client:
        assert await stage.failure() is ErrorCode.NO_CLIENT
        assert not client._route.up


async def test_conversation_waits_for_a_tunnel_as_long_as_configured(stage: Stage) -> None:
    entry = EntrySettings(http=HttpEntrySettings(listen="127.0.0.1:9080"), wait_for_server_s=30, max_waiting=1)
    async with stage.client(entry) as client:
        began = anyio.current_time()
        assert await stage.failure() is ErrorCode.NO_CLIENT
        assert anyio.current_time() - began == pytest.approx(30)
        stream = FakeStream(BILLING)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stage.hand_in, stream)
            await until(lambda: client._route.waiting == 1)
            assert (await client._inspection.stats()).waiting_requests == 1
            assert await stage.failure() is ErrorCode.OVERLOADED
            async with stage.server(forward(FOR_WEB)):
                await until(lambda: stream.ended)
        assert client._route.waiting == 0


async def test_conversation_for_which_the_tunnel_has_no_room_is_overloaded_at_once(stage: Stage) -> None:
    entry = EntrySettings(http=HttpEntrySettings(listen="127.0.0.1:9080"), wait_for_server_s=60)
    release = anyio.Event()

    async def wait(stream: Stream) -> None:
        await release.wait()
        await echo(stream)

    stage.handler = wait
    busy = FakeStream(BILLING)
    async with stage.server(forward(FOR_WEB), max_sessions=1), stage.client(entry) as client:
        await client.ready()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stage.hand_in, busy)
            await until(lambda: stage.made[0][1].running == 1)
            before = anyio.current_time()
            assert await stage.failure() is ErrorCode.OVERLOADED
            assert anyio.current_time() - before < 0.01
            release.set()
    assert busy.ended


async def test_protocols_that_a_client_makes_up_are_counted_and_told_as_one(stage: Stage) -> None:
    watcher = Recorder(wants_sessions=True)
    async with stage.server(forward(FOR_WEB), watcher) as server, stage.client() as client:
        await client.ready()
        for number in range(20):
            made_up = msgspec.structs.replace(BILLING, protocol=f"p{number}")
            assert await stage.failure(made_up) is ErrorCode.ROUTE_NOT_FOUND
        counters = server.container.counters()
        assert counters.started.read() == {"other": 20}
        assert {each.labels.protocol for each in counters.sessions()} == {"other"}
        assert set(counters.active()) == {"other"}
    assert {each.protocol for each in watcher.of(SessionEnded)} == {"other"}


async def test_lost_server_fails_what_cannot_be_repeated_and_repeats_the_rest(stage: Stage) -> None:
    async def hang(stream: Stream) -> None:
        await anyio.sleep_forever()

    entry = EntrySettings(http=HttpEntrySettings(listen="127.0.0.1:9080"), wait_for_server_s=60)
    stage.handler = hang
    post, get = FakeStream(UPLOAD), FakeStream(BILLING)
    async with stage.client(entry) as client, anyio.create_task_group() as tasks:
        async with stage.server(forward(FOR_WEB)):
            await client.ready()

            async def fails() -> None:
                with pytest.raises(SessionError) as caught:
                    await stage.hand_in(post)
                assert caught.value.code is ErrorCode.PEER_LOST

            tasks.start_soon(fails)
            tasks.start_soon(stage.hand_in, get)
            await until(lambda: stage.made[0][1].running == 2)
        stage.handler = echo
        async with stage.server(forward(FOR_WEB)):
            await until(lambda: get.ended)
    assert stage.made[0][1].cancelled == 2


async def test_visitor_of_an_entry_that_leaves_cancels_the_upstream(stage: Stage) -> None:
    async def hang(stream: Stream) -> None:
        await anyio.sleep_forever()

    stage.handler = hang
    async with up(stage, forward(FOR_WEB)):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stage.hand_in, FakeStream(BILLING))
            await until(lambda: stage.made[0][1].running)
            tasks.cancel_scope.cancel()
        await until(lambda: stage.made[0][1].cancelled)


async def test_client_that_leaves_lets_what_its_entries_took_in_finish(stage: Stage) -> None:
    async with up(stage, forward(FOR_WEB)) as (_, client):
        stream = FakeStream(UPLOAD)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stage.hand_in, stream)
            stream.feed(BodyChunk(b"begun "))
            await until(lambda: stream.body)
            tasks.start_soon(client.aclose)
            await until(lambda: stage.doors["127.0.0.1:9080"].drains)
            # Also who is there still, on a connection that is kept.
            with pytest.raises(SessionError) as caught:
                await stage.doors["127.0.0.1:9080"].target.handle(FakeStream(BILLING))
            assert caught.value.code is ErrorCode.NO_CLIENT
            with pytest.raises(ConnectionRefusedError):
                await stage.ask(BILLING)
            stream.feed(BodyChunk(b"and done", end=True))
        assert stream.body == b"begun and done"


async def test_server_that_leaves_lets_what_clients_opened_finish(stage: Stage) -> None:
    async with up(stage, forward(FOR_WEB)) as (server, _):
        stream = FakeStream(UPLOAD)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stage.hand_in, stream)
            stream.feed(BodyChunk(b"begun "))
            await until(lambda: stream.body)
            tasks.start_soon(server.aclose)
            await anyio.sleep(1)
            stream.feed(BodyChunk(b"and done", end=True))
        assert stream.body == b"begun and done"


async def test_client_whose_credential_is_revoked_loses_what_it_has_open(stage: Stage) -> None:
    async with stage.server(forward(FOR_WEB)) as server, stage.client() as client:
        await client.ready()
        stream = FakeStream(UPLOAD)
        async with anyio.create_task_group() as tasks:

            async def fails() -> None:
                with pytest.raises(SessionError):
                    await stage.hand_in(stream)

            tasks.start_soon(fails)
            await until(lambda: stage.made[0][1].running)
            auth = msgspec.structs.replace(server.settings.auth, tokens={})
            await server.reload(msgspec.structs.replace(server.settings, auth=auth))
        await until(lambda: not stage.made[0][1].running)


# -- account


def ended(counts: Mapping[SessionLabels, int] | Any) -> list[tuple[str, ...]]:
    return [tuple(each.labels) for each in counts.sessions()]


async def test_both_sides_keep_account_once(stage: Stage) -> None:
    served, opened = Recorder(wants_sessions=True), Recorder(wants_sessions=True)
    async with stage.server(forward(FOR_WEB), served) as server, stage.client(telemetry=opened) as client:
        await client.ready()
        await stage.ask(UPLOAD, BodyChunk(b"hello", end=True))
        expected = ("http", "web", "forward.rules[0]", "ok", "2xx", "to_server")
        assert ended(server.container.counters()) == [expected]
        assert ended(client.container.counters()) == [("http", "web", "", "ok", "2xx", "to_server")]
    (record,) = served.of(SessionEnded)
    assert (record.direction, record.member, record.upstream, record.status) == (
        "to_server",
        "laptop/one",
        "billing",
        200,
    )
    assert (record.received_bytes, record.sent_bytes, record.tries) == (5, 5, 1)
    (record,) = opened.of(SessionEnded)
    assert (record.direction, record.received_bytes, record.sent_bytes, record.tries) == ("to_server", 5, 5, 1)


async def test_failure_is_told_once_on_each_side(stage: Stage) -> None:
    async def fail(stream: Stream) -> None:
        raise SessionError(ErrorCode.UPSTREAM_UNREACHABLE, "the upstream cannot be reached", detail="10.0.0.7")

    served, opened = Recorder(), Recorder()
    stage.handler = fail
    async with stage.server(forward(FOR_WEB), served) as server, stage.client(telemetry=opened) as client:
        await client.ready()
        assert await stage.failure() is ErrorCode.UPSTREAM_UNREACHABLE
        assert await stage.failure(HttpRequest("GET", b"/", host=b"no.test", end=True)) is ErrorCode.ROUTE_NOT_FOUND
        outcomes = [labels[3:5] for labels in ended(server.container.counters())]
        assert outcomes == [("upstream_unreachable", "5xx"), ("route_not_found", "4xx")]
    assert [each.detail for each in served.of(SessionFailed)] == ["10.0.0.7"]
    assert len(opened.of(SessionFailed)) == 1


async def test_answer_that_breaks_off_is_aborted_at_the_entry(stage: Stage) -> None:
    async def abort(stream: Stream) -> None:
        await stream.send(HttpResponse(200))
        await stream.send(BodyChunk(b"half"))
        raise SessionError(ErrorCode.UPSTREAM_UNREACHABLE, "lost")

    stage.handler = abort
    async with up(stage, forward(FOR_WEB)) as (server, _):
        stream = FakeStream(BILLING)
        with pytest.raises(SessionError):
            await stage.hand_in(stream)
        assert (stream.body, stream.ended) == (b"half", False)
        assert ended(server.container.counters())[0][3:5] == ("upstream_unreachable", "2xx")
