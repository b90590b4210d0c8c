"""What a server and its clients show of themselves while they work, and that it is what it was when they rest."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import Any

import anyio
import msgspec
import pytest
from dependency_injector import providers
from support.app_kit import (
    TOKEN,
    FakeStream,
    FakeUpstream,
    World,
    ask,
    echo,
    group,
    register,
    until,
)
from support.fake_admin import FakeAdmin

from tunnel.app.client import Client
from tunnel.app.server import Server
from tunnel.domain.configuration import AdminSettings, ForwardRule, ForwardSettings, UpstreamSettings
from tunnel.domain.envelopes import BodyChunk, HttpRequest, HttpResponse
from tunnel.domain.errors import ConfigurationError, ErrorCode, SessionError
from tunnel.domain.rules.rule import Rule
from tunnel.ports.inspection import Inspection, ServerInspection, Stats
from tunnel.ports.target import Stream

pytestmark = pytest.mark.anyio

ADMIN = AdminSettings(listen="127.0.0.1:0")


class Inspected:
    """A world whose servers and clients have an admin port that tests read directly."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.made: list[FakeAdmin] = []

    def _container(self, container: Any) -> Any:
        def make(settings: AdminSettings, inspection: Inspection) -> FakeAdmin:
            self.made.append(FakeAdmin(settings, inspection))
            return self.made[-1]

        container.admin.override(providers.Callable(make))
        return container

    def server(self, **options: Any) -> Server:
        container = self._container(self.world.server_container())
        made = self.world.server(container=container, **options)
        return Server(msgspec.structs.replace(made.settings, admin=ADMIN), container=container)

    def client(self, upstream: FakeUpstream, **options: Any) -> Client:
        container = self._container(self.world.client_container(upstream))
        made = self.world.client(container=container, **options)
        return Client(msgspec.structs.replace(made.settings, admin=ADMIN), container=container)

    @asynccontextmanager
    async def pair(self, handler: Any = echo, **options: Any) -> Any:
        async with self.server(**options) as server, self.client(FakeUpstream(handler)) as client:
            await client.ready()
            yield server, self.made[0].inspection, self.made[-1].inspection


@pytest.fixture
def inspected(world: World) -> Inspected:
    return Inspected(world)


def held(stats: Stats) -> Stats:
    """Without what acknowledgements hold for a while, and tasks that rest."""
    return msgspec.structs.replace(stats, tasks=0, open_files=None)


async def rested(inspection: Inspection) -> Stats:
    """Once nothing is under way, and all that was sent has been acknowledged."""
    return await settled(inspection, Stats(links=1, tunnels=1))


async def settled(inspection: Inspection, expected: Stats) -> Stats:
    """Once it is as expected, or has not come to be so within a minute."""
    with anyio.move_on_after(60):
        while held(await inspection.stats()) != expected:  # noqa: ASYNC110
            await anyio.sleep(0.01)
    return held(await inspection.stats())


# -- at rest everything is as before


async def fail(stream: Stream) -> None:
    raise SessionError(ErrorCode.UPSTREAM_UNREACHABLE, "refused")


async def half(stream: Stream) -> None:
    await stream.send(HttpResponse(200, (), b"half"))
    raise SessionError(ErrorCode.INTERNAL, "broken off")


async def hang(stream: Stream) -> None:
    await stream.send(HttpResponse(200, (), b"begun"))
    await anyio.sleep_forever()


async def leave_early(server: Server, path: str) -> None:
    """A visitor that goes when the answer has begun, or nothing came for a while."""
    with anyio.move_on_after(0.5):
        await ask(server, path)


@pytest.mark.parametrize(
    ("handler", "visit"),
    [
        (echo, lambda server: ask(server, "/", b"x" * 300_000)),
        (fail, ask),
        (half, ask),
        (hang, lambda server: leave_early(server, "/")),
        (echo, lambda server: ask(server, host="api.test")),
    ],
    ids=["completed", "failed", "aborted", "abandoned", "without a client"],
)
async def test_what_is_held_returns_to_its_baseline(inspected: Inspected, handler: Any, visit: Any) -> None:
    async with inspected.pair(handler) as (server, at_server, at_client):
        await ask(server) if handler is echo else await visit(server)
        before = await rested(at_server), await rested(at_client)
        assert before == (Stats(links=1, tunnels=1), Stats(links=1, tunnels=1))
        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(visit, server)
        assert (await settled(at_server, before[0]), await settled(at_client, before[1])) == before


async def test_what_goes_on_is_counted_at_both_ends(inspected: Inspected) -> None:
    async with inspected.pair(hang) as (server, at_server, at_client):
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(ask, server)
            await until(lambda: inspected.made[0].inspection._parts.registry.tunnels()[0].mux.session_count == 3)
            await anyio.sleep(0.2)
            one, other = await at_server.stats(), await at_client.stats()
            tasks.cancel_scope.cancel()
        assert (one.sessions, one.handlers, other.sessions, other.handlers) == (3, 0, 3, 3)
        assert one.promised_bytes > 0
        assert other.tasks >= 3


async def test_what_nobody_reads_is_counted(inspected: Inspected) -> None:
    async def flood(stream: Stream) -> None:
        await stream.send(HttpResponse(200, (), b""))
        for _ in range(100):
            await stream.send(BodyChunk(b"x" * 4000))

    async with inspected.pair(flood) as (server, at_server, at_client):
        visitor = FakeStream(HttpRequest("GET", path=b"/", host=b"app.test", end=True), room=1)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server._target.handle, visitor)
            await anyio.sleep(1)
            one, other = await at_server.stats(), await at_client.stats()
            tasks.cancel_scope.cancel()
        assert one.unread_bytes > 40_000
        assert other.unframed_bytes > 4000


async def test_a_request_that_waits_is_counted(inspected: Inspected) -> None:
    async with inspected.server(groups={"web": group(wait_for_client_s=5)}) as server:
        shown = inspected.made[0].inspection
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, server)
            await anyio.sleep(1)
            stats, measured = await shown.stats(), await shown.measure()
            tasks.cancel_scope.cancel()
        assert (stats.waiting_requests, measured.groups[0].waiting_requests) == (1, 1)
        assert (await shown.stats()).waiting_requests == 0


async def test_a_link_in_its_handshake_is_counted(inspected: Inspected) -> None:
    async with inspected.server():
        shown = inspected.made[0].inspection
        link = await register(inspected.world)
        await anyio.sleep(0.1)
        assert ((await shown.stats()).links, (await shown.stats()).tunnels) == (1, 1)
        link.abort()
        await anyio.sleep(0.1)
        assert (await shown.stats()).links == 0


# -- readiness


async def test_a_server_is_ready_while_it_accepts_and_falls_before_its_listeners_close(inspected: Inspected) -> None:
    server = inspected.server(drain_delay_s=3)
    async with inspected.client(FakeUpstream()) as client:
        async with server:
            shown = inspected.made[-1].inspection
            assert inspected.made[-1] is not inspected.made[0]
            assert shown.readiness() == type(shown.readiness())(True)
            await client.ready()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(server.aclose)
                await anyio.sleep(1)
                assert (shown.readiness().ready, shown.readiness().reasons) == (False, ("draining",))
                # Visitors that have not heard of it are still let in.
                assert (await ask(server)).status == 200
                assert inspected.made[-1].open
        assert not inspected.made[-1].open


async def test_a_server_that_never_started_is_not_ready(inspected: Inspected) -> None:
    server = inspected.server()
    reasons = server._inspection.readiness().reasons
    assert reasons == ("starting",)


async def test_a_client_is_ready_while_a_server_sends_conversations(inspected: Inspected) -> None:
    async with inspected.client(FakeUpstream()) as client:
        shown = inspected.made[0].inspection
        assert shown.readiness().reasons == ("no server sends conversations here",)
        async with inspected.server():
            await client.ready()
            assert shown.readiness().ready
            tunnels = await shown.tunnels()
            assert [(each.transport, each.state, each.published) for each in tunnels] == [("memory", "attached", True)]
        await until(lambda: not client._lines.current.ready)
        assert not shown.readiness().ready
        with anyio.move_on_after(0):
            await client.aclose(drain_s=0)
        assert shown.readiness().reasons[0] == "draining"


async def test_a_refused_client_says_so(inspected: Inspected) -> None:
    async with inspected.server(), inspected.client(FakeUpstream(), token="wrong") as client:
        with pytest.raises(Exception, match="unknown token"):
            await client.wait_closed()
        assert inspected.made[-1].inspection.readiness().reasons == (
            "the server refused this client: unauthenticated: unknown token",
        )


# -- what is shown


async def test_clients_are_shown_with_their_tunnels(inspected: Inspected) -> None:
    async with inspected.pair() as (server, shown, _):
        await ask(server)
        await anyio.sleep(6)
        (client,) = (await shown.clients(offset=0, limit=10)).clients
        (tunnel,) = client.tunnels
        assert (client.principal, client.client_id, client.group, client.health) == ("laptop", "one", "web", "healthy")
        assert (tunnel.transport, tunnel.state, tunnel.published) == ("memory", "attached", True)
        assert tunnel.round_trip_s is not None
        assert (tunnel.config_version, len(tunnel.config_hash)) == (1, 64)


async def test_clients_come_in_pages(inspected: Inspected) -> None:
    shown: ServerInspection
    async with inspected.server():
        shown = inspected.made[0].inspection
        links = [
            await register(inspected.world, client_id=f"c{each}", instance_id=bytes([each]) * 16) for each in range(7)
        ]
        await anyio.sleep(0.1)
        offset: int | None = 0
        seen: list[str] = []
        while offset is not None:
            page = await shown.clients(offset=offset, limit=3)
            assert page.total == 7
            seen += [each.client_id for each in page.clients]
            offset = page.next_offset
        assert sorted(seen) == [f"c{each}" for each in range(7)]
        assert (await shown.clients(offset=100, limit=3)).clients == ()
        assert (await shown.status()).clients == 7
        for link in links:
            link.abort()


async def test_rules_are_shown_in_the_order_in_which_they_count(inspected: Inspected) -> None:
    rules = (
        Rule(path_prefix="/", group="web"),
        Rule(host="a.test", path_prefix="/x", group="web"),
        Rule(host="a.test", path="/x", group="web", headers={"authorization": "s3cret"}),
    )
    async with inspected.server(rules=rules):
        shown = inspected.made[0].inspection
        page = await shown.rules(group=None, offset=0, limit=2)
        assert [each.key for each in page.rules] == ["rules[2]", "rules[1]"]
        assert (page.total, page.next_offset) == (3, 2)
        assert page.rules[0].rule["headers"] == {"authorization": "***"}
        (of_group,) = (await shown.rules(group="web", offset=0, limit=10)).rules
        assert of_group.key == "groups.web.rules[0]"
        assert await shown.rules(group="nobody", offset=0, limit=10) is None
        explained = await shown.explain("http://a.test/x", method=None)
        assert (explained.group, explained.upstream, explained.rule["key"]) == ("web", "app", "rules[1]")
        assert "s3cret" not in repr(explained)


async def test_forward_rules_of_a_group_are_shown_and_explained(inspected: Inspected) -> None:
    forward = ForwardSettings(
        rules=(
            ForwardRule(groups=("web",), upstream="app"),
            ForwardRule(host="a.test", groups=("api",), upstream="app"),
            ForwardRule(host="a.test", groups=("web",), upstream="app", headers={"authorization": "s3cret"}),
        ),
        upstreams={"app": UpstreamSettings(targets=("http://10.0.0.7",))},
    )
    async with inspected.server() as server:
        await server.reload(msgspec.structs.replace(server.settings, forward=forward))
        shown = inspected.made[0].inspection
        page = await shown.rules(group=None, offset=0, limit=1, forward="web")
        assert ([each.key for each in page.rules], page.total, page.next_offset) == (["forward.rules[2]"], 2, 1)
        assert page.rules[0].rule["headers"] == {"authorization": "***"}
        assert await shown.rules(group=None, offset=0, limit=1, forward="nobody") is None
        explained = await shown.explain("http://a.test/", method=None, forward="web")
        assert (explained.upstream, explained.targets, explained.rule["key"]) == (
            "app",
            ("http://10.0.0.7",),
            "forward.rules[0]",
        )
        with pytest.raises(ConfigurationError, match="forward: unknown group"):
            await shown.explain("http://a.test/", method=None, forward="nobody")


async def test_a_reload_is_seen_at_once(inspected: Inspected) -> None:
    async with inspected.server(rules=(Rule(path_prefix="/", group="web"),)) as server:
        shown = inspected.made[0].inspection
        await shown.rules(group=None, offset=0, limit=10)
        guarded = AdminSettings(listen=ADMIN.listen, token_sha256="a" * 64)
        await server.reload(msgspec.structs.replace(server.settings, rules=(), admin=guarded))
        assert (await shown.rules(group=None, offset=0, limit=10)).total == 0
        assert (await shown.status()).settings_version == 2
        # The port goes on where it is, by the other settings.
        assert (inspected.made[0].open, inspected.made[0].settings) == (True, guarded)
        await server.reload(msgspec.structs.replace(server.settings, admin=None))
        await until(lambda: not inspected.made[0].open)


async def test_a_clients_port_comes_and_goes_without_touching_its_tunnel(inspected: Inspected) -> None:
    async with inspected.server(), inspected.client(FakeUpstream()) as client:
        await client.ready()
        (tunnel,) = await inspected.made[-1].inspection.tunnels()
        first = inspected.made[-1]
        moved = AdminSettings(listen="127.0.0.2:0")
        await client.reload(msgspec.structs.replace(client.settings, admin=moved))
        await until(lambda: not first.open)
        second = inspected.made[-1]
        assert (second.open, client.addresses) == (True, {"admin": "127.0.0.2:0"})
        assert [each.tunnel_id for each in await second.inspection.tunnels()] == [tunnel.tunnel_id]


async def test_no_secret_is_shown_anywhere(inspected: Inspected) -> None:
    async with inspected.pair(rules=(Rule(path_prefix="/", group="web", query={"api_key": "s3cret"}),)) as (
        server,
        one,
        other,
    ):
        shown = [
            *[await each.status() for each in (one, other)],
            *[await each.config() for each in (one, other)],
            *[await each.measure() for each in (one, other)],
            await one.clients(offset=0, limit=10),
            await one.rules(group=None, offset=0, limit=10),
            await one.explain("http://app.test/?api_key=guess", method=None),
            await other.tunnels(),
        ]
        text = msgspec.json.encode(shown).decode()
        secrets = ["s3cret", TOKEN, *(each.sha256 for each in server.settings.auth.tokens.values())]
        assert [each for each in secrets if each in text] == []
        visit = next(iter(server._links._visits.values()))
        assert visit._resumption.token.hex() not in text
