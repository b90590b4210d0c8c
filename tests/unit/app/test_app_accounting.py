"""What is counted and told of conversations: each once, where it entered, however it ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import msgspec
import pytest
from dependency_injector import providers
from support.app_kit import FakeStream, FakeUpstream, Recorder, World, ask, echo, group, register, until
from support.fake_access_log import FakeLog

from tunnel.adapters.clock import AnyioClock
from tunnel.app.ledger import Ledger
from tunnel.app.server import Server
from tunnel.domain.configuration import AccessLogSettings
from tunnel.domain.envelopes import BodyChunk, HttpRequest, HttpResponse
from tunnel.domain.errors import ConfigurationError, ErrorCode, SessionError
from tunnel.domain.metrics import Counters
from tunnel.ports.target import Stream
from tunnel.ports.telemetry import (
    AccessLogLost,
    ConfigurationReloaded,
    MemberEjected,
    MemberReturned,
    SessionEnded,
    SessionFailed,
    TargetEjected,
    TargetReturned,
)

pytestmark = pytest.mark.anyio

HEADERS = (b"host", b"app.test", b"cookie", b"secret=1", b"x-request-id", b"r-1")
GET = HttpRequest("GET", b"/a%20b", b"token=secret", b"app.test", HEADERS, end=True)
POST = msgspec.structs.replace(GET, method="POST", end=False)


def labels(server: Server) -> list[tuple[str, ...]]:
    counters: Counters = server.container.counters()
    return [tuple(each.labels) for each in counters.sessions() for _ in range(each.ended)]


def logs_of(world: World, telemetry: Recorder | None = None) -> tuple[Any, list[FakeLog]]:
    made: list[FakeLog] = []

    def make(settings: AccessLogSettings) -> FakeLog:
        made.append(FakeLog(settings))
        return made[-1]

    container = world.server_container(telemetry)
    container.access_log.override(providers.Factory(make))
    return container, made


def with_log(server: Server, **settings: Any) -> Any:
    return msgspec.structs.replace(server.settings, access_log=AccessLogSettings(**settings))


# -- what is told


async def test_record_of_a_request_tells_all_but_secrets(world: World) -> None:
    async def answer(stream: Stream) -> None:
        await stream.send(HttpResponse(201, (), b"12"))
        await anyio.sleep(2)
        await stream.send(BodyChunk(b"345", end=True))

    watcher = Recorder(wants_sessions=True)
    stream = FakeStream(POST, [BodyChunk(b"hello"), BodyChunk(b"!", end=True)])
    stream.peer = "192.0.2.7"
    async with world.server(telemetry=watcher) as server, world.client(FakeUpstream(answer)) as client:
        await client.ready()
        await server._target.handle(stream)

        (record,) = watcher.of(SessionEnded)
        first_byte_s = record.first_byte_s
        assert first_byte_s is not None
        assert 0 <= first_byte_s < 1 < 2 <= record.duration_s
        assert msgspec.structs.replace(record, duration_s=2, first_byte_s=0) == SessionEnded(
            protocol="http",
            request_id="r-1",
            peer="192.0.2.7",
            method="POST",
            host="app.test",
            path="/a%20b",
            rule="rules[1]",
            group="web",
            member="laptop/one",
            outcome="ok",
            status=201,
            duration_s=2,
            first_byte_s=0,
            received_bytes=6,
            sent_bytes=5,
            tries=1,
        )
        assert "secret" not in repr(record)
        assert labels(server) == [("http", "web", "rules[1]", "ok", "2xx", "to_client")]
        assert server.container.counters().sessions()[0].received_bytes == 6
        assert server.container.counters().active() == {"http": 0}


async def test_nobody_is_told_who_does_not_want_to_be_and_all_is_counted(world: World) -> None:
    recorder = Recorder()
    async with world.server(telemetry=recorder) as server, world.client() as client:
        await client.ready()
        await ask(server, "/")
        assert recorder.of(SessionEnded) == []
        assert labels(server) == [("http", "web", "rules[1]", "ok", "2xx", "to_client")]


async def test_long_paths_and_hosts_are_cut(world: World) -> None:
    watcher = Recorder(wants_sessions=True)
    async with world.server(telemetry=watcher) as server, world.client() as client:
        await client.ready()
        head = msgspec.structs.replace(GET, path=b"/" + b"a" * 5000, host=b"b" * 5000)
        with pytest.raises(SessionError, match="invalid host"):
            await server._target.handle(FakeStream(head))
    (record,) = watcher.of(SessionEnded)
    assert (len(record.path), len(record.host)) == (1024, 1024)


# -- how it ends


@pytest.mark.parametrize(
    ("code", "status", "told"), [(ErrorCode.UPSTREAM_TIMEOUT, 504, True), (ErrorCode.BAD_REQUEST, 400, False)]
)
async def test_failure_before_the_answer_is_told_with_the_status_of_its_code(
    world: World, code: ErrorCode, status: int, *, told: bool
) -> None:
    async def fail(stream: Stream) -> None:
        raise SessionError(code, "it failed", detail="why")

    watcher = Recorder(wants_sessions=True)
    async with world.server(telemetry=watcher) as server, world.client(FakeUpstream(fail)) as client:
        await client.ready()
        with pytest.raises(SessionError):
            await server._target.handle(FakeStream(GET))
        (record,) = watcher.of(SessionEnded)
        assert (record.outcome, record.status, record.first_byte_s) == (code.value, status, None)
        assert labels(server) == [("http", "web", "rules[1]", code.value, f"{status // 100}xx", "to_client")]
    failed = watcher.of(SessionFailed)
    assert failed == ([SessionFailed(code.value, "it failed", "why", "r-1")] if told else [])


async def test_answer_that_is_aborted_keeps_its_status_and_tells_why(world: World) -> None:
    async def abort(stream: Stream) -> None:
        await stream.send(HttpResponse(200))
        await stream.send(BodyChunk(b"half"))
        raise SessionError(ErrorCode.UPSTREAM_UNREACHABLE, "gone")

    watcher = Recorder(wants_sessions=True)
    async with world.server(telemetry=watcher) as server, world.client(FakeUpstream(abort)) as client:
        await client.ready()
        with pytest.raises(SessionError):
            await server._target.handle(FakeStream(GET))
    (record,) = watcher.of(SessionEnded)
    assert (record.outcome, record.status, record.sent_bytes) == ("upstream_unreachable", 200, 4)


@pytest.mark.parametrize(("rules", "code"), [((), "route_not_found"), (None, "no_client")])
async def test_request_that_no_client_was_asked_about_is_told_of_too(world: World, rules: Any, code: str) -> None:
    watcher = Recorder(wants_sessions=True)
    async with world.server(telemetry=watcher, rules=rules) as server:
        answer = await ask(server)
    (record,) = watcher.of(SessionEnded)
    assert (record.outcome, record.status, record.member, record.tries) == (code, answer.status, "", 0)
    assert record.group == ("" if rules == () else "web")


@pytest.mark.parametrize(
    ("cut_off", "outcome", "status"),
    [(None, "cancelled", 0), (SessionError(ErrorCode.UPSTREAM_TIMEOUT, "stalled"), "upstream_timeout", 504)],
)
async def test_cancelled_conversation_tells_whether_the_visitor_left_or_was_cut_off(
    world: World, cut_off: SessionError | None, outcome: str, status: int
) -> None:
    watcher = Recorder(wants_sessions=True)
    upstream = FakeUpstream(lambda stream: anyio.sleep_forever())
    async with world.server(telemetry=watcher) as server, world.client(upstream) as client:
        await client.ready()
        stream = FakeStream(GET)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server._target.handle, stream)
            await until(lambda: upstream.running)
            assert server.container.counters().active() == {"http": 1}
            stream.cut_off = cut_off
            tasks.cancel_scope.cancel()
        assert server.container.counters().active() == {"http": 0}
    (record,) = watcher.of(SessionEnded)
    assert (record.outcome, record.status) == (outcome, status)


async def test_mistake_of_ours_is_told_as_internal(world: World) -> None:
    class Broken(FakeStream):
        async def send(self, payload: Any) -> None:
            raise KeyError("a bug")

    watcher = Recorder(wants_sessions=True)
    async with world.server(telemetry=watcher) as server, world.client() as client:
        await client.ready()
        with pytest.raises(KeyError):
            await server._target.handle(Broken(GET))
    assert [each.outcome for each in watcher.of(SessionEnded)] == ["internal"]


async def test_retries_are_counted_and_the_last_client_is_told(world: World) -> None:
    async def refuse(stream: Stream) -> None:
        raise SessionError(ErrorCode.REFUSED, "not now")

    watcher = Recorder(wants_sessions=True)
    refusing, serving = FakeUpstream(refuse), FakeUpstream(echo)
    groups = {"web": group(balance="round_robin")}
    async with (
        world.server(telemetry=watcher, groups=groups) as server,
        world.client(refusing, client_id="refusing") as first,
        world.client(serving, client_id="serving") as second,
    ):
        await first.ready()
        await second.ready()
        await ask(server)
        await ask(server)
        assert server.container.counters().retries.read() == {"web": 1}
    assert sorted((each.member, each.tries) for each in watcher.of(SessionEnded)) == [
        ("laptop/serving", 1),
        ("laptop/serving", 2),
    ]


async def test_conversations_cut_off_by_the_end_of_the_server_are_told_of(world: World) -> None:
    container, made = logs_of(world)
    upstream = FakeUpstream(lambda stream: anyio.sleep_forever())
    server = world.server(container=container)
    server = Server(with_log(server), container=container)
    async with anyio.create_task_group() as tasks, server, world.client(upstream) as client:
        await client.ready()
        tasks.start_soon(ask, server)
        await until(lambda: upstream.running)
    (log,) = made
    assert [each.outcome for each in log.records] == ["peer_lost"]
    assert log.asked == ["start", "aclose"]


# -- what else is counted


async def test_tunnels_and_links_are_counted(world: World) -> None:
    upstream = FakeUpstream(lambda stream: anyio.sleep_forever())
    async with world.server() as server, world.client(upstream) as client, anyio.create_task_group() as tasks:
        counters: Counters = server.container.counters()
        await client.ready()
        assert counters.tunnels_published.read() == {"memory": 1}
        tasks.start_soon(ask, server)
        await until(lambda: upstream.running)

        world.network.sever()
        await until(lambda: counters.tunnels_resumed.total)
        assert counters.tunnels_resumed.read() == {"memory": 1}
        assert counters.tunnels_detached.read() == {"": 1}
        assert counters.links_lost.read() == {"broken": 1}
        tasks.cancel_scope.cancel()


async def test_registrations_and_reloads_are_counted(world: World) -> None:
    async with world.server() as server:
        counters: Counters = server.container.counters()
        link = await register(world, credential="wrong")
        await until(lambda: counters.registrations_denied.total)
        assert counters.registrations_denied.read() == {"unauthenticated": 1}
        await link.aclose()
        server.container.ledger().record(ConfigurationReloaded("server.toml", 2))
        server.container.ledger().record(ConfigurationReloaded("server.toml", 2, "wrong"))
        assert counters.reloads.read() == {"ok": 1, "failed": 1}


async def test_ejections_and_returns_are_counted_by_group_or_upstream(world: World) -> None:
    counters = Counters()
    ledger = Ledger(Recorder(), counters, AnyioClock())

    for event in (
        MemberEjected("web", "laptop/one", "peer_lost", 10),
        TargetEjected("app", "http://a", "internal", 10),
    ):
        ledger.record(event)
    ledger.record(MemberReturned("web", "laptop/one"))
    ledger.record(TargetReturned("app", "http://a"))

    assert counters.ejections.read() == {"web": 1, "app": 1}
    assert counters.returns.read() == {"web": 1, "app": 1}


# -- the access log


@pytest.mark.parametrize("wanted", [True, False])
async def test_access_log_gets_the_records_it_wants(world: World, *, wanted: bool) -> None:
    container, made = logs_of(world)
    server = Server(with_log(world.server(container=container), sample=0.5), container=container)
    async with server, world.client() as client:
        await client.ready()
        (log,) = made
        log.wanted = wanted
        await ask(server)
        assert len(log.records) == wanted
    assert log.settings.sample == 0.5


async def test_lost_records_are_counted_and_told(world: World) -> None:
    recorder = Recorder()
    container, made = logs_of(world, recorder)
    server = Server(with_log(world.server(container=container)), container=container)
    async with server, world.client() as client:
        await client.ready()
        made[0].failed = (7, "the queue was full")
        await ask(server)
        assert recorder.of(AccessLogLost) == [AccessLogLost(7, "the queue was full")]
        made[0].failed = (2, "No space left on device")
    assert recorder.of(AccessLogLost)[1:] == [AccessLogLost(2, "No space left on device")]
    assert container.counters().access_log_lost.total == 9


async def test_server_whose_access_log_cannot_be_written_does_not_start(world: World) -> None:
    container, _ = logs_of(world)
    server = Server(with_log(world.server(container=container), path="unwritable"), container=container)
    with pytest.raises(ConfigurationError):
        async with server:
            pass


async def test_reload_opens_the_log_anew_or_replaces_it(world: World) -> None:
    container, made = logs_of(world)
    server = Server(with_log(world.server(container=container), path="a"), container=container)
    async with server, world.client() as client:
        await client.ready()
        await server.reload(server.settings)
        assert made[0].asked == ["start", "reopen"]

        await server.reload(with_log(server, path="b"))
        await ask(server)
        assert made[0].asked == ["start", "reopen", "aclose"]
        assert [len(each.records) for each in made] == [0, 1]

        await server.reload(msgspec.structs.replace(server.settings, access_log=None))
        await ask(server)
        assert made[1].asked == ["start", "aclose"]
        assert len(made[1].records) == 1


@pytest.mark.parametrize(
    "worse",
    [
        lambda settings: msgspec.structs.replace(settings, access_log=AccessLogSettings(path="unwritable")),
        lambda settings: msgspec.structs.replace(
            settings,
            access_log=AccessLogSettings(path="b"),
            transports=msgspec.structs.replace(
                settings.transports, memory=msgspec.structs.replace(settings.transports.memory, name="taken")
            ),
        ),
    ],
)
async def test_reload_that_fails_keeps_the_log(world: World, worse: Callable[[Any], Any]) -> None:
    container, made = logs_of(world)
    server = Server(with_log(world.server(container=container), path="a"), container=container)
    async with world.server(name="taken"), server, world.client() as client:
        await client.ready()
        with pytest.raises(Exception, match=r"expected|taken"):
            await server.reload(worse(server.settings))
        await ask(server)
        assert len(made[0].records) == 1
        assert made[0].asked == ["start"]
        assert made[1].asked in ([], ["start", "aclose"])
