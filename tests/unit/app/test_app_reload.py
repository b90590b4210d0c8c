"""Other settings for a server that runs: nothing is lost, everything is replaced together, errors change nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
import msgspec
import pytest
from dependency_injector import providers
from support.app_kit import (
    OTHER_TOKEN,
    TOKEN,
    FakeStream,
    FakeUpstream,
    Recorder,
    World,
    ask,
    echo,
    group,
    register,
    uncounted,
    until,
)
from support.door import Door

from tunnel.app import prepared
from tunnel.app.server import Server
from tunnel.app.snapshots import Snapshots
from tunnel.domain.configuration import (
    AuthSettings,
    GroupSettings,
    GroupSnapshot,
    HttpIngressSettings,
    IngressSettings,
    LimitsSettings,
    MemoryTransportSettings,
    ServerSettings,
    TransportsSettings,
    UpstreamSettings,
)
from tunnel.domain.envelopes import BodyChunk, ConfigApplied, ConfigSyncResponse, HttpRequest, HttpResponse
from tunnel.domain.errors import (
    ConfigurationError,
    ErrorCode,
    LinkEnd,
    LinkError,
    ListenError,
    RegistrationRefused,
    SessionError,
)
from tunnel.domain.identity import PeerInfo, Principal
from tunnel.domain.rules.rule import Rule
from tunnel.ports.authenticator import Authenticator
from tunnel.ports.target import Stream
from tunnel.ports.telemetry import ConfigurationApplied, LinkLost, Listening, TunnelReady

pytestmark = pytest.mark.anyio

GET = HttpRequest("GET", b"/", host=b"app.test", end=True)
TO_WEB = (Rule(path_prefix="/", group="web"),)
TO_API = (Rule(path_prefix="/", group="api"),)


def other(server: Server, **fields: Any) -> ServerSettings:
    """The settings in force, but for ``fields``."""
    return msgspec.structs.replace(server.settings, **fields)


def saying(word: bytes) -> FakeUpstream:
    async def handle(stream: Stream) -> None:
        await anyio.sleep(0.01)
        await stream.send(HttpResponse(200, (), word, end=True))

    return FakeUpstream(handle)


def leading_to(url: str, **settings: Any) -> GroupSettings:
    return group(upstreams={"app": UpstreamSettings(targets=(url,))}, **settings)


def applied_by(server: Server) -> list[tuple[int, str]]:
    return [
        (tunnel.config_version, tunnel.config_hash) for client in server.clients().clients for tunnel in client.tunnels
    ]


async def by_url(url: str, stream: Stream) -> None:
    await stream.send(HttpResponse(200, (), url.encode(), end=True))


class Targets:
    """Makes targets that answer with their own URL, and keeps them."""

    def __init__(self, handle: Callable[[str, Stream], Any] = by_url) -> None:
        self.made: dict[str, list[FakeUpstream]] = {}
        self._handle = handle

    def make(self, url: str, *_: object) -> FakeUpstream:
        target = FakeUpstream(lambda stream: self._handle(url, stream))
        self.made.setdefault(url, []).append(target)
        return target

    def container(self, world: World, telemetry: Recorder | None = None) -> Any:
        container = world.client_container(telemetry=telemetry)
        container.targets.providers["http"].override(providers.Callable(self.make))
        return container


# -- rules and groups


async def test_requests_under_way_meet_all_old_or_all_new_rules_and_none_is_lost(world: World) -> None:
    answers: list[bytes] = []

    async def visit(server: Server) -> None:
        for _ in range(40):
            answer = await ask(server)
            assert answer.status == 200
            answers.append(answer.body)

    async with (
        world.server() as server,
        world.client(saying(b"web"), client_id="one") as one,
        world.client(saying(b"api"), client_id="two", group="api") as two,
    ):
        await one.ready()
        await two.ready()
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(visit, server)
            for rules, word in ((TO_API, b"api"), (TO_WEB, b"web"), (TO_API, b"api")):
                await anyio.sleep(0.1)
                await server.reload(other(server, rules=rules))
                assert (await ask(server)).body == word
    assert len(answers) == 200
    assert set(answers) == {b"web", b"api"}


async def test_rule_and_the_group_it_needs_come_together(world: World) -> None:
    async with world.server(groups={"web": group()}) as server:
        groups = {"web": group(), "api": group(wait_for_client_s=5)}
        there = world.server(groups=groups).settings
        await server.reload(other(server, rules=TO_API, groups=groups, auth=there.auth))
        async with world.client(saying(b"api"), group="api"):
            assert (await ask(server)).body == b"api"


async def test_strategy_can_be_exchanged(world: World) -> None:
    upstreams = FakeUpstream(), FakeUpstream()
    async with (
        world.server(groups={"web": group(balance="power_of_two")}) as server,
        world.client(upstreams[0], client_id="one") as one,
        world.client(upstreams[1], client_id="two") as two,
    ):
        await one.ready()
        await two.ready()
        await server.reload(other(server, groups={"web": group(balance="round_robin")}))
        for _ in range(20):
            await ask(server)
    assert [len(each.heads) for each in upstreams] == [10, 10]


async def test_waiting_requests_outlast_a_reload(world: World) -> None:
    settings = group(wait_for_client_s=5)
    stream = FakeStream(GET)
    async with world.server(groups={"web": settings}) as server, anyio.create_task_group() as tasks:
        tasks.start_soon(server._target.handle, stream)
        await anyio.sleep(1)
        await server.reload(other(server, groups={"web": group(wait_for_client_s=5, balance="round_robin")}))
        await anyio.sleep(1)
        async with world.client() as client:
            await client.ready()
            await until(lambda: stream.ended, within_s=0.1)
            assert stream.answer is not None


async def test_removed_group_turns_its_clients_and_its_waiting_requests_away(world: World) -> None:
    codes: list[ErrorCode] = []

    async def wait(server: Server) -> None:
        with pytest.raises(SessionError) as caught:
            await server._target.handle(FakeStream(msgspec.structs.replace(GET, host=b"api.test")))
        codes.append(caught.value.code)

    groups = {"web": group(), "api": group(wait_for_client_s=60)}
    async with world.server(groups=groups) as server, anyio.create_task_group() as tasks:
        tasks.start_soon(wait, server)
        await anyio.sleep(1)
        remaining = world.server(groups={"web": group()}).settings
        before = anyio.current_time()
        await server.reload(other(server, rules=TO_WEB, groups=remaining.groups, auth=remaining.auth))
        await until(lambda: codes, within_s=0.1)
        assert anyio.current_time() - before < 0.2
        assert codes == [ErrorCode.NO_CLIENT]
        async with world.client(group="api") as late:
            with pytest.raises(RegistrationRefused):
                await late.ready()


async def test_client_of_a_removed_group_is_told_forbidden(world: World) -> None:
    async with world.server() as server, world.client(group="api") as client:
        await client.ready()
        remaining = world.server(groups={"web": group()}).settings
        await server.reload(other(server, rules=TO_WEB, groups=remaining.groups, auth=remaining.auth))
        with anyio.fail_after(1), pytest.raises(RegistrationRefused) as caught:
            await client.wait_closed()
    assert caught.value.code is ErrorCode.FORBIDDEN


async def test_many_rules_are_compiled_beside_the_event_loop(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    compiling: list[int] = []
    compiled = prepared.RulesEngine

    def note(rules: Any) -> Any:
        compiling.append(threading.get_ident())
        return compiled(rules)

    monkeypatch.setattr(prepared, "RulesEngine", note)
    many = tuple(Rule(host=f"h{number}.test", group="web") for number in range(500))
    async with world.server() as server:
        await server.reload(other(server, rules=(*TO_WEB, *many)))
        assert len(server.settings.rules) == 501
    assert compiling[0] == threading.get_ident()
    assert compiling[1] != threading.get_ident()


# -- configurations of groups


def test_groups_that_stay_the_same_keep_hash_and_version() -> None:
    first = Snapshots({"web": group(), "api": group()})
    second = Snapshots({"web": leading_to("http://127.0.0.1:1"), "api": group(balance="round_robin")}, 2, first)
    third = Snapshots({"web": leading_to("http://127.0.0.1:1"), "api": group()}, 3, second)
    assert [each.of("api") for each in (second, third)] == [first.of("api")] * 2
    assert [each.of("web").version for each in (first, second, third)] == [1, 2, 2]
    assert first.of("web").hash != second.of("web").hash == third.of("web").hash


async def test_changed_configuration_is_pushed_and_applied_without_a_new_tunnel(world: World) -> None:
    targets, dialled = Targets(), Recorder()
    container = targets.container(world, dialled)
    groups = {"web": leading_to("http://127.0.0.1:1"), "api": group()}
    async with world.server(groups=groups) as server, world.client(container=container) as client:
        await client.ready()
        assert (await ask(server)).body == b"http://127.0.0.1:1"
        version = await server.reload(other(server, groups=groups | {"web": leading_to("http://127.0.0.1:2")}))
        await until(lambda: len(dialled.of(ConfigurationApplied)) == 2, within_s=0.1)
        assert (await ask(server)).body == b"http://127.0.0.1:2"
        await until(lambda: applied_by(server) == [(version, client._lines.current.configuration.hash)], within_s=1)
        assert len(dialled.of(TunnelReady)) == 1
        await until(lambda: targets.made["http://127.0.0.1:1"][0].closed, within_s=0.1)
        assert version == 2


async def test_conversation_of_a_replaced_configuration_finishes_and_then_its_targets_are_closed(world: World) -> None:
    release = anyio.Event()

    async def handle(url: str, stream: Stream) -> None:
        await stream.send(HttpResponse(200))
        if url.endswith(":1"):
            await release.wait()
        await stream.send(BodyChunk(url.encode(), end=True))

    targets = Targets(handle)
    groups = {"web": leading_to("http://127.0.0.1:1"), "api": group()}
    stream = FakeStream(GET)
    async with (
        world.server(groups=groups) as server,
        world.client(container=targets.container(world)) as client,
        anyio.create_task_group() as tasks,
    ):
        await client.ready()
        tasks.start_soon(server._target.handle, stream)
        await until(lambda: stream.sent)
        for number in (2, 3):
            await server.reload(other(server, groups=groups | {"web": leading_to(f"http://127.0.0.1:{number}")}))
            await until(lambda number=number: applied_by(server)[0][0] == number)
            assert (await ask(server)).body == f"http://127.0.0.1:{number}".encode()
        (old,), (between,), (new,) = targets.made.values()
        assert (old.closed, between.closed, new.closed) == (0, 1, 0)
        release.set()
        await until(lambda: stream.ended, within_s=0.1)
        # Another conversation goes on all the time: the tunnel has never been empty.
        await until(lambda: old.closed, within_s=0.1)
        assert stream.body == b"http://127.0.0.1:1"
        assert new.closed == 0


async def test_target_that_stays_keeps_its_connections(world: World) -> None:
    targets = Targets()
    before = {"app": UpstreamSettings(targets=("http://127.0.0.1:1", "http://127.0.0.1:2"))}
    after = {"app": UpstreamSettings(targets=("http://127.0.0.1:2", "http://127.0.0.1:3"))}
    async with (
        world.server(groups={"web": group(upstreams=before)}) as server,
        world.client(container=targets.container(world)) as client,
    ):
        await client.ready()
        await server.reload(other(server, groups={"web": group(upstreams=after)}))
        await until(lambda: applied_by(server)[0][0] == 2)
        await until(lambda: targets.made["http://127.0.0.1:1"][0].closed, within_s=0.1)
        assert [len(made) for made in targets.made.values()] == [1, 1, 1]
        assert targets.made["http://127.0.0.1:2"][0].closed == 0


@pytest.mark.rule("H16")
async def test_rejected_push_keeps_the_old_configuration_and_says_why(world: World) -> None:
    targets, dialled, served = Targets(), Recorder(), Recorder()
    groups = {"web": leading_to("http://127.0.0.1:1"), "api": group()}
    async with (
        world.server(groups=groups, telemetry=served) as server,
        world.client(container=targets.container(world, dialled)) as client,
    ):
        await client.ready()
        await server.reload(other(server, groups=groups | {"web": leading_to("http://192.0.2.1:80")}))
        await until(lambda: len(dialled.of(ConfigurationApplied)) == 2, within_s=0.1)
        why = dialled.of(ConfigurationApplied)[-1].rejected
        assert why == 'upstreams.app.targets[0]: "http://192.0.2.1:80" is not permitted by allow_targets'
        assert (await ask(server)).body == b"http://127.0.0.1:1"
        assert [version for version, _ in applied_by(server)] == [1]
        # The server may come round.
        await server.reload(other(server, groups=groups | {"web": leading_to("http://127.0.0.1:3")}))
        await until(lambda: [version for version, _ in applied_by(server)] == [3], within_s=1)
        assert (await ask(server)).body == b"http://127.0.0.1:3"
        # All is well again: there is no reason for another tunnel.
        await client.reload(client.settings)
        assert len(dialled.of(TunnelReady)) == 1
        assert dialled.of(LinkLost) == []


# -- credentials and limits


async def test_revoked_credential_closes_its_tunnels_within_a_second(world: World) -> None:
    upstreams = FakeUpstream(), FakeUpstream()
    async with (
        world.server() as server,
        world.client(upstreams[0], client_id="one", token=TOKEN) as revoked,
        world.client(upstreams[1], client_id="two", token=OTHER_TOKEN) as staying,
    ):
        await revoked.ready()
        await staying.ready()
        await server.reload(other(server, auth=AuthSettings(tokens={"phone": server.settings.auth.tokens["phone"]})))
        for _ in range(5):
            assert (await ask(server)).status == 200
        with anyio.fail_after(1), pytest.raises(RegistrationRefused) as caught:
            await revoked.wait_closed()
        assert [each.client_id for each in server.clients().clients] == ["two"]
    assert caught.value.code is ErrorCode.FORBIDDEN
    assert upstreams[0].heads == []


async def test_credential_that_may_not_join_the_group_any_more_is_closed_too(world: World) -> None:
    async with world.server() as server, world.client() as client:
        await client.ready()
        tokens = dict(server.settings.auth.tokens)
        tokens["laptop"] = msgspec.structs.replace(tokens["laptop"], groups=("api",))
        await server.reload(other(server, auth=AuthSettings(tokens=tokens)))
        with anyio.fail_after(1), pytest.raises(RegistrationRefused):
            await client.wait_closed()


async def test_new_credential_can_be_used_at_once(world: World) -> None:
    async with world.server() as server:
        known = server.settings.auth
        await server.reload(other(server, auth=AuthSettings()))
        async with world.client() as early:
            with pytest.raises(RegistrationRefused):
                await early.ready()
        await server.reload(other(server, auth=known))
        async with world.client() as client:
            await client.ready()


async def test_credential_revoked_while_it_is_looked_up_is_not_let_in(world: World) -> None:
    class Slow(Authenticator):
        known = True

        async def authenticate(self, credential: str, peer: PeerInfo) -> Principal:
            await anyio.sleep(1)
            return Principal("laptop", frozenset({"web"}))

        def current(self, principal: Principal) -> Principal | None:
            return principal if self.known else None

    authenticator = Slow()
    container = world.server_container()
    container.authenticator.override(providers.Object(authenticator))
    async with world.server(container=container) as server, world.client() as client:
        await anyio.sleep(0.5)
        authenticator.known = False
        await server.reload(other(server, auth=AuthSettings()))
        with anyio.fail_after(2), pytest.raises(RegistrationRefused):
            await client.ready()


async def test_registration_under_way_ends_up_with_the_new_configuration(world: World) -> None:
    targets = Targets()
    groups = {"web": leading_to("http://127.0.0.1:1"), "api": group()}
    async with world.server(groups=groups) as server, world.client(container=targets.container(world)) as client:
        await until(world.network.pairs)
        for number in range(2, 8):
            await server.reload(other(server, groups=groups | {"web": leading_to(f"http://127.0.0.1:{number}")}))
            await anyio.lowlevel.checkpoint()
        await client.ready()
        await until(lambda: applied_by(server)[0][0] == 7, within_s=1)
        assert (await ask(server)).body == b"http://127.0.0.1:7"


async def test_new_limits_hold_for_tunnels_registered_from_then_on(world: World) -> None:
    async with world.server() as server, world.client(client_id="one") as one:
        await one.ready()
        await server.reload(other(server, limits=LimitsSettings(session_window_bytes=8192, max_links=1)))
        async with world.client(client_id="two") as two:
            await two.ready()
            costs = [
                client._lines.current.dialer._visit.tunnel.mux.opening_cost  # type: ignore[union-attr]
                for client in (one, two)
            ]
            assert costs[0] > costs[1] == 2048
            assert (await ask(server)).status == 200


async def test_new_limit_of_links_holds_for_a_client_that_is_there(world: World) -> None:
    async with world.server() as server, world.client() as client:
        await client.ready()
        await server.reload(other(server, limits=LimitsSettings(max_links=1)))
        # It needs a second one for a moment.
        with pytest.raises(LinkError) as caught:
            await client.reload(msgspec.structs.replace(client.settings, limits=LimitsSettings(max_sessions=7)))
        assert caught.value.end is LinkEnd.UNREACHABLE
        assert (await ask(server)).status == 200


# -- listeners


class IngressWorld:
    """A server whose ingresses are noted, by address."""

    def __init__(self, world: World, telemetry: Recorder | None = None) -> None:
        self.made: dict[str, Door] = {}
        self.failing: frozenset[str] = frozenset()
        container = world.server_container(telemetry)
        container.ingresses.providers["http"].override(providers.Callable(self._make))
        self.server = Server(self.listening(world.server().settings, "127.0.0.1:1"), container=container)

    def _make(self, settings: HttpIngressSettings, _: LimitsSettings) -> Door:
        failing = {at: ListenError(settings.listen, "taken") for at in self.failing if at in ("bind", "start")}
        ingress = Door(settings, failing=failing)
        if "stuck" in self.failing:
            ingress.slow = anyio.Event()
        self.made.setdefault(settings.listen, ingress)
        return ingress

    @staticmethod
    def listening(settings: ServerSettings, listen: str, **fields: Any) -> ServerSettings:
        ingress = IngressSettings(http=HttpIngressSettings(listen=listen, **fields))
        return msgspec.structs.replace(settings, ingress=ingress)


async def test_listener_that_moves_is_there_before_the_old_one_goes(world: World) -> None:
    served, dialled = Recorder(), Recorder()
    async with (
        world.server(telemetry=served, drain_s=5) as server,
        world.client(servers=("memory://edge", "memory://moved"), telemetry=dialled) as client,
    ):
        await client.ready()
        moved = TransportsSettings(memory=MemoryTransportSettings(name="moved"))
        await server.reload(other(server, transports=moved))
        assert server.addresses == {"transport.memory": "moved"}
        assert [each.address for each in served.of(Listening)] == ["edge", "moved"]
        # Who is there stays for as long as conversations may take to finish, and nobody else comes in there.
        assert (await ask(server)).status == 200
        async with world.client(client_id="two", servers=("memory://edge", "memory://moved")) as two:
            await two.ready()
            assert [len(world.network.pairs(name)) for name in ("edge", "moved")] == [1, 1]
        await until(lambda: not world.network.pairs("edge"), within_s=6)
        await until(lambda: world.network.pairs("moved"), within_s=10)
        await client.ready()
        assert (await ask(server)).status == 200


def listening_at(server: Server, name: str) -> Any:
    return other(server, transports=TransportsSettings(memory=MemoryTransportSettings(name=name)))


async def test_listener_that_comes_back_while_it_drains_keeps_its_links(world: World) -> None:
    served, dialled = Recorder(), Recorder()
    async with (
        world.server(telemetry=served, drain_s=5) as server,
        world.client(servers=("memory://edge",), telemetry=dialled) as client,
    ):
        await client.ready()
        for there, back in (("moved", "edge"), ("moved", "edge")):
            await server.reload(listening_at(server, there))
            await anyio.sleep(1)
            await server.reload(listening_at(server, back))
            await anyio.sleep(1)
        assert server.addresses == {"transport.memory": "edge"}
        assert [each.address for each in served.of(Listening)] == ["edge", "moved", "edge", "moved", "edge"]
        # Long after it would have been dropped.
        await anyio.sleep(20)
        assert len(world.network.pairs("edge")) == 1
        assert (await ask(server)).status == 200
        # It lets clients in again, and the other address is free.
        async with world.client(client_id="two", servers=("memory://moved", "memory://edge")) as two:
            await two.ready()
            assert len(world.network.pairs("edge")) == 2
    assert not dialled.of(LinkLost)


async def test_listener_that_came_back_leaves_like_any_other(world: World) -> None:
    async with (
        world.server(drain_s=5) as server,
        world.client(servers=("memory://edge", "memory://moved")) as client,
    ):
        await client.ready()
        await server.reload(listening_at(server, "moved"))
        await anyio.sleep(3)
        await server.reload(listening_at(server, "edge"))
        await server.reload(listening_at(server, "moved"))
        # The time it was given before does not count.
        await anyio.sleep(4)
        assert len(world.network.pairs("edge")) == 1
        await until(lambda: not world.network.pairs("edge"), within_s=1.1)
        await until(lambda: world.network.pairs("moved"), within_s=10)
        await client.ready()
        await server.reload(listening_at(server, "edge"))
        assert server.addresses == {"transport.memory": "edge"}


async def test_listener_goes_on_leaving_when_the_reload_that_wants_it_fails(world: World) -> None:
    ingresses = IngressWorld(world)
    async with (
        ingresses.server as server,
        world.client(servers=("memory://edge", "memory://moved")) as client,
    ):
        await client.ready()
        at_edge = server.settings
        await server.reload(listening_at(server, "moved"))
        await anyio.sleep(3)
        ingresses.failing = frozenset({"bind"})
        with pytest.raises(ListenError):
            await server.reload(ingresses.listening(at_edge, "127.0.0.1:2"))
        assert server.addresses["transport.memory"] == "moved"
        async with world.client(client_id="two", servers=("memory://edge", "memory://moved")) as two:
            await two.ready()
            assert [len(world.network.pairs(name)) for name in ("edge", "moved")] == [1, 1]
        # When it would have without.
        await anyio.sleep(6.5)
        assert len(world.network.pairs("edge")) == 1
        await until(lambda: not world.network.pairs("edge"), within_s=1)
        world.network.take("edge")
        world.network.release("edge")


async def test_server_that_ends_amid_a_return_leaves_nothing(world: World) -> None:
    async with world.server(drain_s=5) as server, world.client(servers=("memory://edge",)) as client:
        await client.ready()
        await server.reload(listening_at(server, "moved"))
        await server.reload(listening_at(server, "edge"))
        await server.aclose()
    for name in ("edge", "moved"):
        world.network.take(name)
        world.network.release(name)


async def test_listener_that_nobody_uses_is_gone_at_once(world: World) -> None:
    async with world.server() as server:
        await server.reload(other(server, transports=TransportsSettings(memory=MemoryTransportSettings(name="moved"))))
        await anyio.sleep(0.01)
        world.network.take("edge")
        world.network.release("edge")


async def test_ingress_that_moves_is_there_before_the_old_one_drains(world: World) -> None:
    ingresses = IngressWorld(world)
    async with ingresses.server as server:
        await server.reload(ingresses.listening(server.settings, "127.0.0.1:2"))
        assert server.addresses["ingress.http"] == "127.0.0.1:2"
        await until(lambda: "end" in ingresses.made["127.0.0.1:1"].seen)
        assert ingresses.made["127.0.0.1:1"].seen == ["bind", "start", "drain 10", "end"]
        assert ingresses.made["127.0.0.1:2"].seen == ["bind", "start"]


async def test_ingress_whose_settings_are_the_same_is_left_alone(world: World) -> None:
    ingresses = IngressWorld(world)
    async with ingresses.server as server:
        await server.reload(other(server, rules=TO_API))
        assert ingresses.made["127.0.0.1:1"].seen == ["bind", "start"]


async def test_ingress_that_stays_where_it_is_follows_other_settings_there(world: World) -> None:
    ingresses = IngressWorld(world)
    async with ingresses.server as server:
        await server.reload(ingresses.listening(server.settings, "127.0.0.1:1", max_body_bytes=7))
        ingress = ingresses.made["127.0.0.1:1"]
        assert (ingress.seen, ingress.settings.max_body_bytes) == (["bind", "start", "follow"], 7)


async def test_ingress_can_be_taken_away_and_come_back(world: World) -> None:
    ingresses = IngressWorld(world)
    async with ingresses.server as server:
        with_ingress = server.settings
        await server.reload(other(server, ingress=IngressSettings()))
        assert "ingress.http" not in server.addresses
        old = ingresses.made.pop("127.0.0.1:1")
        await until(lambda: "end" in old.seen)
        await server.reload(with_ingress)
        assert ingresses.made["127.0.0.1:1"].seen == ["bind", "start"]


async def test_mounted_ingress_is_the_same_and_follows_the_new_settings(world: World) -> None:
    async with world.server() as server, world.client() as client:
        await client.ready()
        mounted = server.ingress
        settings = IngressWorld.listening(server.settings, "127.0.0.1:0", max_body_bytes=3)
        container = server.container
        container.ingresses.providers["http"].override(providers.Callable(lambda table, _: Door(table)))
        assert (await ask(server, body=b"four")).status == 200
        await server.reload(settings)
        assert server.ingress is mounted
        assert (await ask(server, body=b"four")).status == 413
        assert (await ask(server, body=b"two")).status == 200


# -- what fails changes nothing


@pytest.mark.parametrize("failure", ["bind", "start"])
async def test_address_that_cannot_be_had_changes_nothing(world: World, failure: str) -> None:
    served = Recorder()
    ingresses = IngressWorld(world, served)
    async with ingresses.server as server, world.client(saying(b"web")) as client:
        await client.ready()
        settings = ingresses.listening(server.settings, "127.0.0.1:2")
        moved = TransportsSettings(memory=MemoryTransportSettings(name="moved"))
        ingresses.failing = frozenset({failure})
        before = server.settings
        with pytest.raises(ListenError):
            await server.reload(msgspec.structs.replace(settings, transports=moved, rules=TO_API, auth=AuthSettings()))
        assert (server.settings, server.version) == (before, 1)
        assert server.addresses == {"transport.memory": "edge", "ingress.http": "127.0.0.1:1"}
        assert ingresses.made["127.0.0.1:1"].seen == ["bind", "start"]
        assert (await ask(server)).body == b"web"
        # The transport that came up meanwhile is gone again, and its name is free.
        world.network.take("moved")
        world.network.release("moved")
        ingresses.failing = frozenset()
        ingresses.made.clear()
        assert await server.reload(settings) == 2


async def test_rules_that_cannot_be_compiled_change_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise ConfigurationError("expected a simpler expression", key_path="rules[0].path_regex")

    async with world.server() as server, world.client(saying(b"web")) as client:
        await client.ready()
        monkeypatch.setattr(prepared, "RulesEngine", refuse)
        with pytest.raises(ConfigurationError):
            await server.reload(other(server, rules=TO_API))
        assert (server.version, (await ask(server)).body) == (1, b"web")


async def test_cancelled_reload_changes_nothing(world: World) -> None:
    ingresses = IngressWorld(world)
    async with ingresses.server as server:
        ingresses.failing = frozenset({"stuck"})
        with anyio.move_on_after(3) as scope:
            await server.reload(ingresses.listening(server.settings, "127.0.0.1:2"))
        assert scope.cancelled_caught
        assert server.version == 1
        assert "drain 0" in ingresses.made["127.0.0.1:2"].seen
        ingresses.failing = frozenset()
        assert await server.reload(other(server, rules=TO_API)) == 2


async def test_reloads_take_turns_and_the_last_one_stays(world: World) -> None:
    versions: list[int] = []

    async def reload(server: Server, settings: ServerSettings) -> None:
        versions.append(await server.reload(settings))

    async with world.server() as server:
        names = [f"edge-{number}" for number in range(5)]
        async with anyio.create_task_group() as tasks:
            for name in names:
                transports = TransportsSettings(memory=MemoryTransportSettings(name=name))
                tasks.start_soon(reload, server, other(server, transports=transports))
        assert sorted(versions) == [2, 3, 4, 5, 6]
        (current,) = server.addresses.values()
        assert server.settings.transports.memory is not None
        assert current == server.settings.transports.memory.name
        await anyio.sleep(1)
        for name in ("edge", *names):
            if name != current:
                world.network.take(name)
                world.network.release(name)


async def test_server_that_does_not_run_is_not_reloaded(world: World) -> None:
    server = world.server()
    for _ in range(2):
        with pytest.raises(LinkError) as caught:
            await server.reload(server.settings)
        assert caught.value.end is LinkEnd.CLOSED
        if server.version == 1 and not server._closed.is_set():
            async with server:
                await server.reload(server.settings)


async def test_closing_while_listeners_start_gives_them_back(world: World) -> None:
    ingresses = IngressWorld(world)
    ends: list[LinkEnd] = []

    async def reload(server: Server) -> None:
        with pytest.raises(LinkError) as caught:
            await server.reload(ingresses.listening(server.settings, "127.0.0.1:2"))
        ends.append(caught.value.end)

    async with ingresses.server as server, anyio.create_task_group() as tasks:
        ingresses.failing = frozenset({"stuck"})
        tasks.start_soon(reload, server)
        await anyio.sleep(1)
        await server.aclose(drain_s=0)
        ingresses.made["127.0.0.1:2"].slow.set()
        await until(lambda: ends, within_s=0.1)
        assert ends == [LinkEnd.CLOSED]
        assert "end" in ingresses.made["127.0.0.1:2"].seen


async def test_conversation_on_a_listener_that_leaves_finishes(world: World) -> None:
    async def slowly(stream: Stream) -> None:
        await anyio.sleep(3)
        await echo(stream)

    stream = FakeStream(GET)
    async with world.pair(slowly) as server, anyio.create_task_group() as tasks:
        tasks.start_soon(server._target.handle, stream)
        await anyio.sleep(1)
        await server.reload(other(server, transports=TransportsSettings(memory=MemoryTransportSettings(name="moved"))))
        await until(lambda: stream.ended, within_s=3)
        assert stream.answer is not None
        assert stream.answer.status == 200


async def test_server_that_goes_back_to_what_it_had_meets_answers_to_all(world: World) -> None:
    """Quickly, while the client had yet to answer the first."""
    async with world.server(groups={"web": leading_to("http://127.0.0.1:1")}, rules=TO_WEB) as server:
        link = await register(world)
        told: list[ConfigSyncResponse] = []
        await link.receive()
        await link.receive()
        for url in ("http://127.0.0.1:2", "http://127.0.0.1:1"):
            await server.reload(other(server, groups={"web": leading_to(url)}))
            (envelope,) = (await link.receive()).envelopes
            assert isinstance(envelope.payload, ConfigSyncResponse)
            told.append(envelope.payload)
        second, third = told
        for version, digest in ((1, third.hash), (2, second.hash), (3, third.hash)):
            await link.send(uncounted(ConfigApplied(version, digest)))
            await until(lambda expected=[(version, digest)]: applied_by(server) == expected, within_s=0.1)  # type: ignore[misc]
        link.abort()


async def test_push_of_the_same_contents_begins_anew(world: World) -> None:
    """The server went back to a configuration of which one part was sent before it was replaced."""
    targets = Targets()
    async with world.server(), world.client(container=targets.container(world)) as client:
        await client.ready()
        latest = GroupSnapshot.of(leading_to("http://127.0.0.1:7"))
        configuration = client._lines.current.configuration
        part, rest = latest.encode()[:10], latest.encode()[10:]
        assert configuration.take(ConfigSyncResponse(7, latest.hash, part, more=True)) is None
        assert configuration.take(ConfigSyncResponse(9, latest.hash, part, more=True)) is None
        answer = configuration.take(ConfigSyncResponse(9, latest.hash, rest))
        assert answer == ConfigApplied(9, latest.hash)


async def test_push_that_overtakes_another_is_applied_whole(world: World) -> None:
    """The client drops the parts of the one that does not come to an end."""
    targets = Targets()
    async with world.server(), world.client(container=targets.container(world)) as client:
        await client.ready()
        latest = GroupSnapshot.of(leading_to("http://127.0.0.1:7"))
        configuration = client._lines.current.configuration
        assert configuration.take(ConfigSyncResponse(8, "old", b"half of some", more=True)) is None
        answer = configuration.take(ConfigSyncResponse(9, latest.hash, latest.encode()))
        assert answer == ConfigApplied(9, latest.hash)
