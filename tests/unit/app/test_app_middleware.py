"""Middleware of servers and clients: on rules of either hop, replaced while conversations run, accounted for."""

import anyio
import msgspec
import pytest
from dependency_injector import providers
from support.app_kit import FakeStream, FakeUpstream, Recorder, ask, group, until
from support.signing import Signing

from tunnel.app.prepared import prepare, trusting
from tunnel.app.redaction import redacted, redacted_rule
from tunnel.app.server import Server
from tunnel.domain.configuration import GroupSnapshot, HttpIngressSettings, IngressSettings, MiddlewareSettings
from tunnel.domain.envelopes import HttpRequest, HttpResponse
from tunnel.domain.errors import ConfigurationError, ErrorCode, SessionError
from tunnel.domain.middleware.header_edits import first_field
from tunnel.domain.refusal import Refusal
from tunnel.domain.rules.rule import Rule
from tunnel.ports.telemetry import SessionEnded, SessionFailed

pytestmark = pytest.mark.anyio

SET_A = MiddlewareSettings("headers", {"request": {"set": {"x-a": "1"}}, "response": {"set": {"x-r": "1"}}})
LIMIT = MiddlewareSettings("rate_limit", {"requests": 1, "per_s": 1000, "by": "all"})


@pytest.fixture
def signing():
    return type("Mine", (Signing,), {"made": []})


def with_middleware(world, *, rule=(), group_rule=(), **tables):
    plain = world.server(groups={"web": group()}).settings
    web = group(rules=(Rule(path_prefix="/", upstream="app", middleware=tuple(group_rule) or None),))
    return msgspec.structs.replace(
        plain,
        rules=(Rule(path_prefix="/", group="web", middleware=tuple(rule) or None),),
        groups={"web": web},
        middleware=tables,
    )


def server_of(world, given, telemetry=None, kinds=()):
    container = world.server_container(telemetry)
    container.middleware.set_providers(**dict(container.middleware.providers), **dict(kinds))
    return Server(given, container=container)


def field(answer, name):
    return next((value for key, value in answer.headers if key == name), None)


@pytest.mark.parametrize("place", ["rule", "group_rule"])
async def test_rule_of_either_hop_goes_through_its_middleware(world, place):
    upstream = FakeUpstream()
    async with (
        server_of(world, with_middleware(world, **{place: ("a",)}, a=SET_A)) as server,
        world.client(upstream) as client,
    ):
        await client.ready()
        answer = await ask(server)
    assert first_field(upstream.heads[0].headers, b"x-a") == b"1"
    assert field(answer, b"x-r") == b"1"


@pytest.mark.parametrize("place", ["rule", "group_rule"])
async def test_refusal_is_answered_and_counted_with_its_rule(world, place):
    telemetry = Recorder(wants_sessions=True)
    upstream = FakeUpstream()
    async with (
        server_of(world, with_middleware(world, **{place: ("l",)}, l=LIMIT), telemetry) as server,
        world.client(upstream) as client,
    ):
        await client.ready()
        answers = [await ask(server) for _ in range(2)]
    ended = telemetry.of(SessionEnded)
    assert [answer.status for answer in answers] == [200, 429]
    assert answers[1].complete
    assert len(upstream.heads) == 1
    # What a client refuses is an answer as any other to the server.
    outcome = "overloaded" if place == "rule" else "ok"
    assert [(each.rule, each.group, each.status, each.outcome) for each in ended] == [
        ("rules[0]", "web", 200, "ok"),
        ("rules[0]", "web", 429, outcome),
    ]
    assert ended[1].sent_bytes == len(answers[1].body)
    assert not telemetry.of(SessionFailed), "it says nothing of the server"


@pytest.mark.parametrize("place", ["rule", "group_rule"])
async def test_made_up_protocol_goes_past_no_middleware_and_is_no_failure_of_ours(world, place, caplog):
    telemetry = Recorder(wants_sessions=True)
    upstream = FakeUpstream()
    async with (
        server_of(world, with_middleware(world, **{place: ("a",)}, a=SET_A), telemetry) as server,
        world.client(upstream) as client,
    ):
        await client.ready()
        with pytest.raises(SessionError) as caught:
            await server._target.handle(FakeStream(HttpRequest("GET", b"/", host=b"app.test", protocol="x", end=True)))
    assert caught.value.code is ErrorCode.PROTOCOL_ERROR
    assert not upstream.heads
    assert [each.protocol for each in telemetry.of(SessionEnded)] == ["other"]
    assert not caplog.records, "a program that fails is logged with where it did"


async def test_account_tells_what_the_visitor_got(world):
    async def long(stream):
        await stream.send(HttpResponse(200, (b"content-type", b"text/plain"), b"x" * 10_000, end=True))

    telemetry = Recorder(wants_sessions=True)
    tables = {"c": MiddlewareSettings("compression")}
    async with (
        server_of(world, with_middleware(world, rule=("c",), **tables), telemetry) as server,
        world.client(FakeUpstream(long)) as client,
    ):
        await client.ready()
        answer = await ask(server, headers=((b"accept-encoding", b"gzip"),))
    (ended,) = telemetry.of(SessionEnded)
    assert field(answer, b"content-encoding") == b"gzip"
    assert ended.sent_bytes == len(answer.body) < 10_000


async def test_reload_keeps_the_count_of_a_table_that_stays_and_replaces_others(world):
    given = with_middleware(world, rule=("l", "a"), l=LIMIT, a=SET_A)
    async with server_of(world, given) as server, world.client() as client:
        await client.ready()
        assert (await ask(server)).status == 200
        other = MiddlewareSettings("headers", {"response": {"set": {"x-r": "2"}}})
        await server.reload(with_middleware(world, rule=("a", "l"), l=LIMIT, a=other))
        refused = await ask(server)
        assert (refused.status, field(refused, b"x-r")) == (429, b"2")
        more = MiddlewareSettings("rate_limit", {"requests": 2, "per_s": 1000, "by": "all"})
        await server.reload(with_middleware(world, rule=("l",), l=more))
        assert (await ask(server)).status == 200


async def test_reload_keeps_the_count_of_a_client_too(world):
    async with server_of(world, with_middleware(world, group_rule=("l",), l=LIMIT)) as server, world.client() as client:
        await client.ready()
        assert (await ask(server)).status == 200
        applied = client._lines.current.configuration.hash
        await server.reload(with_middleware(world, group_rule=("a", "l"), l=LIMIT, a=SET_A))
        await until(lambda: client._lines.current.configuration.hash != applied)
        refused = await ask(server)
        assert (refused.status, field(refused, b"x-r")) == (429, b"1")


async def test_conversation_under_way_keeps_what_it_began_with_and_that_is_closed_after_it(world, signing):
    tables = {"s": MiddlewareSettings("sign", {"by": "first"})}
    kinds = {"sign": providers.Object(signing)}
    given = with_middleware(world, rule=("s",), **tables)
    async with server_of(world, given, kinds=kinds) as server, world.client() as client:
        await client.ready()
        first = server._middleware._layers["s"].middleware
        first.hold = anyio.Event()
        answers = []

        async def visit():
            answers.append(await ask(server))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(visit)
            await until(lambda: first.running)
            await server.reload(with_middleware(world))
            assert (await ask(server)).status == 200
            assert not first.closed
            first.hold.set()
        await until(lambda: first.closed)
        assert answers[0].status == 200
    assert first.closed == 1


async def test_middleware_is_closed_with_its_server(world, signing):
    tables = {"s": MiddlewareSettings("sign")}
    given = with_middleware(world, rule=("s",), **tables)
    async with server_of(world, given, kinds={"sign": providers.Object(signing)}) as server:
        used = server._middleware._layers["s"].middleware
    assert used.closed == 1


async def test_middleware_of_a_client_is_closed_with_it(world, signing):
    tables = {"s": MiddlewareSettings("sign", {"by": "me"})}
    given = with_middleware(world, group_rule=("s",), **tables)
    container = world.client_container(FakeUpstream())
    container.middleware.set_providers(sign=providers.Object(signing))
    async with server_of(world, given, kinds={"sign": providers.Object(signing)}) as server:
        signing.made.clear()
        async with world.client(container=container) as client:
            await client.ready()
            assert (await ask(server)).status == 200
    (used,) = signing.made
    assert (used.by, used.closed) == ("me", 1)


async def test_client_without_a_kind_rejects_the_configuration_and_says_so(world, signing):
    given = with_middleware(world, group_rule=("s",), s=MiddlewareSettings("sign"))
    async with (
        server_of(world, given, kinds={"sign": providers.Object(signing)}),
        world.client() as client,
    ):
        await until(lambda: client._lines.current.configuration.rejection)
        assert 'middleware.s.use: unknown kind of middleware "sign"' in str(
            client._lines.current.configuration.rejection
        )


async def test_failed_reload_leaves_what_there_is(world):
    async with server_of(world, with_middleware(world, rule=("a",), a=SET_A)) as server, world.client() as client:
        await client.ready()
        wrong = MiddlewareSettings("headers", {"request": {"set": {"host": "x"}}})
        with pytest.raises(ConfigurationError, match=r"middleware\.a\.request\.set\.host"):
            await server.reload(with_middleware(world, rule=("a",), a=wrong))
        assert field(await ask(server), b"x-r") == b"1"


async def test_error_of_somebody_elses_middleware_is_internal(world, signing):
    class Broken(signing):
        async def handle(self, stream, target):
            raise LookupError

    given = with_middleware(world, rule=("s",), s=MiddlewareSettings("sign"))
    telemetry = Recorder(wants_sessions=True)
    async with server_of(world, given, telemetry, {"sign": providers.Object(Broken)}) as server:
        answer = await ask(server)
    assert answer.status == 500
    assert [each.outcome for each in telemetry.of(SessionEnded)] == ["internal"]


async def test_refusal_of_ones_own_has_status_and_fields_of_ones_own(world, signing):
    class Closing(signing):
        async def handle(self, stream, target):
            raise Refusal(ErrorCode.FORBIDDEN, "closed", status=451, headers=(b"link", b"</law>"))

    given = with_middleware(world, rule=("s",), s=MiddlewareSettings("sign"))
    telemetry = Recorder(wants_sessions=True)
    async with server_of(world, given, telemetry, {"sign": providers.Object(Closing)}) as server:
        answer = await ask(server)
    assert (answer.status, field(answer, b"link")) == (451, b"</law>")
    assert [(each.outcome, each.status) for each in telemetry.of(SessionEnded)] == [("forbidden", 451)]


def test_snapshot_takes_along_what_its_rules_name_and_nothing_else():
    web = group(rules=(Rule(path_prefix="/", upstream="app", middleware=("a",)),))
    snapshot = GroupSnapshot.of(web, {"a": SET_A, "l": LIMIT})
    assert GroupSnapshot.decode(snapshot.encode()) == snapshot
    assert list(snapshot.middleware) == ["a"]
    assert b"middleware" not in GroupSnapshot.of(group(), {"l": LIMIT}).encode(), "older clients go on"


def test_rules_are_shown_with_their_middleware_and_options_without_their_texts():
    assert redacted_rule(Rule(path_prefix="/", group="web", middleware=("a",)))["middleware"] == ["a"]
    shown = redacted(LIMIT)
    assert shown == {"use": "rate_limit", "requests": 1, "per_s": 1000, "by": "***"}
    assert "all" not in repr(LIMIT)


@pytest.mark.parametrize("place", ["rule", "group_rule"])
async def test_visitor_that_leaves_cancels_what_is_behind_middleware(world, place):
    async def stuck(stream):
        await anyio.sleep_forever()

    upstream = FakeUpstream(stuck)
    tables = {"a": SET_A, "l": MiddlewareSettings("circuit_breaker"), "c": MiddlewareSettings("compression")}
    given = with_middleware(world, **{place: ("a", "l", "c")}, **tables)
    async with server_of(world, given) as server, world.client(upstream) as client:
        await client.ready()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, server)
            await until(lambda: upstream.running)
            tasks.cancel_scope.cancel()
        await until(lambda: upstream.cancelled)
        chains = (
            server._middleware if place == "rule" else client._lines.current.configuration._routers.router._middleware
        )
        await until(lambda: not any(layer.under_way for layer in chains._layers.values()))


@pytest.mark.parametrize("place", ["rule", "group_rule"])
async def test_large_upload_and_download_pass_whole(world, place):
    tables = {"a": SET_A, "i": MiddlewareSettings("request_id", {"header": "x-i"})}
    async with (
        server_of(world, with_middleware(world, **{place: ("a", "i")}, **tables)) as server,
        world.client() as client,
    ):
        await client.ready()
        body = bytes(range(256)) * 8192
        answer = await ask(server, body=body)
    assert answer.body == body


async def test_answer_that_breaks_off_behind_middleware_is_no_whole_one(world):
    async def breaking(stream):
        await stream.send(HttpResponse(200, (b"content-type", b"text/plain"), b"x" * 5000))
        raise SessionError(ErrorCode.UPSTREAM_UNREACHABLE, "lost")

    tables = {"c": MiddlewareSettings("compression"), "a": SET_A}
    telemetry = Recorder(wants_sessions=True)
    async with (
        server_of(world, with_middleware(world, rule=("a", "c"), **tables), telemetry) as server,
        world.client(FakeUpstream(breaking)) as client,
    ):
        await client.ready()
        answer = await ask(server, headers=((b"accept-encoding", b"gzip"),))
    assert (answer.status, answer.complete) == (200, False)
    assert [each.outcome for each in telemetry.of(SessionEnded)] == ["upstream_unreachable"]


async def test_middleware_that_never_closes_does_not_keep_its_server(world, signing):
    class Clinging(signing):
        async def aclose(self):
            await anyio.sleep_forever()

    given = with_middleware(world, rule=("s",), s=MiddlewareSettings("sign"))
    async with server_of(world, given, kinds={"sign": providers.Object(Clinging)}):
        began_at = anyio.current_time()
    assert anyio.current_time() - began_at < 10


async def test_what_goes_by_addresses_trusts_the_proxies_of_the_ingress_unless_it_names_its_own(world):
    tables = {
        "f": MiddlewareSettings("ip_filter", {"allow": ["10.0.0.0/8"]}),
        "own": MiddlewareSettings("rate_limit", {"requests": 1, "trusted_proxies": []}),
        "a": SET_A,
    }
    plain = with_middleware(world, group_rule=("f", "own", "a"), **tables)
    http = HttpIngressSettings(listen="127.0.0.1:0", trusted_proxies=("192.0.2.0/24",))
    given = msgspec.structs.replace(plain, ingress=IngressSettings(http=http))

    shipped = GroupSnapshot.decode(prepare(given, version=1).snapshots.of("web").encoded).middleware

    assert shipped == trusting(given)
    assert shipped["f"].options == {"allow": ["10.0.0.0/8"], "trusted_proxies": ["192.0.2.0/24"]}
    assert (shipped["own"], shipped["a"]) == (tables["own"], SET_A)
    assert trusting(plain) == tables
