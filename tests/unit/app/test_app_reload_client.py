"""Other settings for a client that runs: in place where that will do, else by a new tunnel before the old one goes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import anyio
import msgspec
import pytest
from dependency_injector import providers
from support.app_kit import (
    OTHER_TOKEN,
    FakeStream,
    FakeUpstream,
    Recorder,
    ScriptedServer,
    World,
    ask,
    group,
    uncounted,
    until,
)

from tunnel.app.client import Client
from tunnel.app.server import Server
from tunnel.domain.configuration import (
    AuthSettings,
    ClientSettings,
    GroupSettings,
    GroupSnapshot,
    LimitsSettings,
    Secret,
    TargetPolicy,
    UpstreamSettings,
)
from tunnel.domain.envelopes import BodyChunk, ConfigSyncResponse, HttpRequest, HttpResponse, RegisterResponse
from tunnel.domain.errors import ConfigurationError, ErrorCode, LinkEnd, LinkError, RegistrationRefused
from tunnel.ports.target import Stream
from tunnel.ports.telemetry import ConfigurationApplied, LinkLost, TunnelReady
from tunnel.ports.transport import Link

pytestmark = pytest.mark.anyio

GET = HttpRequest("GET", b"/", host=b"app.test", end=True)
PUSHED, OWN = "http://127.0.0.1:1", "http://db.internal.test:2"


def other(client: Client, **fields: Any) -> ClientSettings:
    """The settings in force, but for ``fields``."""
    return msgspec.structs.replace(client.settings, **fields)


def to(url: str) -> UpstreamSettings:
    return UpstreamSettings(targets=(url,))


def pushing(url: str) -> dict[str, GroupSettings]:
    return {"web": group(upstreams={"app": to(url)}), "api": group()}


async def tell_url(url: str, stream: Stream) -> None:
    await stream.send(HttpResponse(200, (), url.encode(), end=True))


class Targets:
    """Makes targets that answer with their own URL; keeps them, and the policies they were made with."""

    def __init__(self, world: World, handle: Callable[[str, Stream], Any] = tell_url) -> None:
        self.made: dict[str, list[FakeUpstream]] = {}
        self.policies: dict[str, list[TargetPolicy]] = {}
        self.telemetry = Recorder()
        self._handle = handle
        self.container = world.client_container(telemetry=self.telemetry)
        self.container.targets.providers["http"].override(providers.Callable(self._make))

    def _make(self, url: str, _: object, policy: TargetPolicy) -> FakeUpstream:
        target = FakeUpstream(lambda stream: self._handle(url, stream))
        self.made.setdefault(url, []).append(target)
        self.policies.setdefault(url, []).append(policy)
        return target

    @property
    def tunnels(self) -> int:
        """How often a tunnel became ready."""
        return len(self.telemetry.of(TunnelReady))


def tunnels_of(server: Server) -> list[str]:
    return [tunnel.tunnel_id for client in server.clients().clients for tunnel in client.tunnels]


# -- in place


async def test_own_upstream_takes_the_place_of_a_pushed_one_and_gives_it_back(world: World) -> None:
    targets = Targets(world)
    async with world.server(groups=pushing(PUSHED)) as server, world.client(container=targets.container) as client:
        await client.ready()
        before = tunnels_of(server)
        assert await client.reload(other(client, upstreams={"app": to(OWN)})) == 2
        assert (await ask(server)).body == OWN.encode()
        assert await client.reload(other(client, upstreams={})) == 3
        assert (await ask(server)).body == PUSHED.encode()
        assert (tunnels_of(server), targets.tunnels) == (before, 1)
        assert [each.closed for each in targets.made[OWN]] == [1]


async def test_own_upstream_is_dialled_under_its_own_word_and_a_pushed_one_under_the_list(world: World) -> None:
    targets = Targets(world)
    async with world.server(groups=pushing(PUSHED)), world.client(container=targets.container) as client:
        await client.ready()
        await client.reload(other(client, upstreams={"app": to(OWN)}))
    (pushed,), (own,) = targets.policies[PUSHED], targets.policies[OWN]
    assert own.permits("db.internal.test", 2, "10.0.0.5")
    assert not own.permits("127.0.0.1", 1, "127.0.0.1")
    assert not pushed.permits("db.internal.test", 2, "10.0.0.5")


async def test_own_upstream_of_the_file_is_there_from_the_start_and_outlasts_a_push(world: World) -> None:
    targets = Targets(world)
    settings = other(world.client(), upstreams={"app": to(OWN)})
    async with (
        world.server(groups=pushing(PUSHED)) as server,
        Client(settings, container=targets.container) as client,
    ):
        await client.ready()
        assert (await ask(server)).body == OWN.encode()
        # What the server would have dialled instead does not matter, forbidden or not.
        await server.reload(msgspec.structs.replace(server.settings, groups=pushing("http://192.0.2.1:1")))
        await until(lambda: len(targets.telemetry.of(ConfigurationApplied)) == 2)
        assert targets.telemetry.of(ConfigurationApplied)[-1].rejected == ""
        assert (await ask(server)).body == OWN.encode()
        assert list(targets.made) == [OWN]


async def test_own_upstream_that_was_never_pushed_is_warned_of_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    targets = Targets(world)
    settings = other(world.client(), upstreams={"app": to(OWN), "typo": to(OWN)})
    with caplog.at_level(logging.WARNING, logger="tunnel.configuration"):
        async with (
            world.server(groups=pushing(PUSHED)) as server,
            Client(settings, container=targets.container) as client,
        ):
            await client.ready()
            for _ in range(3):
                assert (await ask(server)).status == 200
    assert [record.getMessage() for record in caplog.records] == [
        "upstreams.typo takes nobody's place: the server has sent no upstream of that name"
    ]


async def test_narrower_list_is_in_force_for_targets_that_were_dialled_before(world: World) -> None:
    targets = Targets(world)
    name = "http://localhost:1"
    async with (
        world.server(groups=pushing(name)) as server,
        world.client(container=targets.container, allow_targets=("localhost",)) as client,
    ):
        await client.ready()
        await client.reload(other(client, allow_targets=("127.0.0.0/8",)))
        assert (await ask(server)).body == name.encode()
    wide, narrow = targets.policies[name]
    assert wide.permits("localhost", 1, "192.0.2.1")
    assert not narrow.permits("localhost", 1, "192.0.2.1")


async def test_list_that_forbids_what_was_pushed_is_refused_and_changes_nothing(world: World) -> None:
    targets = Targets(world)
    async with world.server(groups=pushing(PUSHED)) as server, world.client(container=targets.container) as client:
        await client.ready()
        before = client.settings
        with pytest.raises(ConfigurationError) as caught:
            await client.reload(other(client, allow_targets=("10.0.0.0/8",)))
        assert caught.value.key_path == "allow_targets"
        assert f'upstreams.app.targets[0]: "{PUSHED}" is not permitted by allow_targets' in str(caught.value)
        assert (client.settings, client.version) == (before, 1)
        assert (await ask(server)).body == PUSHED.encode()


async def test_list_for_a_client_without_configuration_is_followed_by_its_first(world: World) -> None:
    targets = Targets(world)
    async with world.client(container=targets.container, allow_targets=("10.0.0.0/8",)) as client:
        await client.reload(other(client, allow_targets=("127.0.0.0/8",)))
        async with world.server(groups=pushing(PUSHED)):
            await client.ready()


async def test_wider_list_takes_up_a_push_that_was_rejected(world: World) -> None:
    targets = Targets(world)
    forbidden = "http://192.0.2.1:1"
    async with world.server(groups=pushing(PUSHED)) as server, world.client(container=targets.container) as client:
        await client.ready()
        await server.reload(msgspec.structs.replace(server.settings, groups=pushing(forbidden)))
        await until(lambda: client._lines.current.configuration.rejection)
        assert (await ask(server)).body == PUSHED.encode()
        await client.reload(other(client, allow_targets=("127.0.0.0/8", "192.0.2.0/24")))
        assert (await ask(server)).body == forbidden.encode()


async def test_conversation_of_a_replaced_upstream_finishes(world: World) -> None:
    release = anyio.Event()

    async def handle(url: str, stream: Stream) -> None:
        await stream.send(HttpResponse(200))
        if url == PUSHED:
            await release.wait()
        await stream.send(BodyChunk(url.encode(), end=True))

    targets = Targets(world, handle)
    stream = FakeStream(GET)
    async with (
        world.server(groups=pushing(PUSHED)) as server,
        world.client(container=targets.container) as client,
        anyio.create_task_group() as tasks,
    ):
        await client.ready()
        tasks.start_soon(server._target.handle, stream)
        await until(lambda: stream.sent)
        await client.reload(other(client, upstreams={"app": to(OWN)}))
        assert (await ask(server)).body == OWN.encode()
        assert targets.made[PUSHED][0].closed == 0
        release.set()
        await until(lambda: targets.made[PUSHED][0].closed, within_s=0.1)
        assert stream.body == PUSHED.encode()


async def test_settings_that_are_the_same_disturb_nothing(world: World) -> None:
    targets = Targets(world)
    async with world.server(groups=pushing(PUSHED)), world.client(container=targets.container) as client:
        await client.ready()
        assert await client.reload(client.settings) == 2
        assert (targets.tunnels, len(targets.made[PUSHED])) == (1, 1)


# -- by another tunnel


@pytest.mark.parametrize(
    "change",
    [
        {"servers": ("memory://other",)},
        {"client_id": "renamed"},
        {"token": Secret(OTHER_TOKEN)},
        {"limits": LimitsSettings(max_sessions=7)},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_new_tunnel_serves_before_the_old_one_drains(world: World, change: dict[str, Any]) -> None:
    release = anyio.Event()

    async def handle(url: str, stream: Stream) -> None:
        await stream.send(HttpResponse(200))
        await release.wait()
        await stream.send(BodyChunk(url.encode(), end=True))

    targets = Targets(world, handle)
    stream = FakeStream(GET)
    async with (
        world.server(groups=pushing(PUSHED)) as server,
        world.server(groups=pushing(PUSHED), name="other") as elsewhere,
        world.client(container=targets.container) as client,
        anyio.create_task_group() as tasks,
    ):
        await client.ready()
        tasks.start_soon(server._target.handle, stream)
        await until(lambda: stream.sent)
        assert await client.reload(other(client, **change)) == 2
        assert client.client_id == client.settings.client_id == change.get("client_id", "one")
        now = elsewhere if "servers" in change else server
        await client.ready()
        assert targets.tunnels == 2
        assert not stream.ended
        release.set()
        assert (await ask(now)).body == PUSHED.encode()
        await until(lambda: stream.ended, within_s=0.1)
        await until(lambda: len(tunnels_of(server)) + len(tunnels_of(elsewhere)) == 1, within_s=2)
        assert len(list(client._lines)) == 1
        assert targets.telemetry.of(LinkLost) == []
        assert [each.closed for each in targets.made[PUSHED]] == [1, 0]


async def test_no_request_is_lost_while_the_tunnel_is_replaced(world: World) -> None:
    statuses: list[int] = []

    async def slowly(url: str, stream: Stream) -> None:
        await anyio.sleep(0.02)
        await tell_url(url, stream)

    async def visit(server: Server) -> None:
        for _ in range(20):
            answer = await ask(server)
            statuses.append(answer.status)

    targets = Targets(world, slowly)
    async with world.server(groups=pushing(PUSHED)) as server, world.client(container=targets.container) as client:
        await client.ready()
        async with anyio.create_task_group() as tasks:
            for _ in range(4):
                tasks.start_soon(visit, server)
            for number in range(3):
                await anyio.sleep(0.05)
                await client.reload(other(client, limits=LimitsSettings(max_sessions=100 + number)))
        assert targets.tunnels == 4
    assert statuses == [200] * 80


async def test_client_moves_to_another_group(world: World) -> None:
    targets = Targets(world)
    async with world.server() as server, world.client(container=targets.container) as client:
        await client.ready()
        await client.reload(other(client, group="api"))
        assert (await ask(server, host="api.test")).status == 200
        await until(lambda: [each.group for each in server.clients().clients] == ["api"], within_s=2)
        assert (await ask(server)).status == 503


async def test_client_without_a_name_of_its_own_keeps_the_one_it_was_given(world: World) -> None:
    settings = other(world.client(), client_id=None)
    targets = Targets(world)
    async with world.server() as server, Client(settings, container=targets.container) as client:
        await client.ready()
        name = client.client_id
        await client.reload(msgspec.structs.replace(settings, limits=LimitsSettings(max_sessions=7)))
        assert client.client_id == name
        await until(lambda: len(tunnels_of(server)) == 1, within_s=2)
        assert [each.client_id for each in server.clients().clients] == [name]
        assert await client.reload(msgspec.structs.replace(settings, limits=LimitsSettings(max_sessions=7))) == 3
        assert targets.tunnels == 2


# -- what fails changes nothing


async def test_refused_settings_leave_the_old_tunnel_where_it_is(world: World) -> None:
    targets = Targets(world)
    async with world.server() as server, world.client(container=targets.container) as client:
        await client.ready()
        before, tunnels = client.settings, tunnels_of(server)
        for change in ({"token": Secret("nobody's")}, {"group": "nothing"}):
            with pytest.raises(RegistrationRefused):
                await client.reload(other(client, **change))
        assert (client.settings, client.version, client.client_id) == (before, 1, "one")
        assert tunnels_of(server) == tunnels
        await client.ready()
        assert (await ask(server)).status == 200
        assert len(list(client._lines)) == 1


async def test_settings_whose_configuration_is_refused_leave_the_old_tunnel_where_it_is(world: World) -> None:
    targets = Targets(world)
    async with world.server() as server, world.client(container=targets.container) as client:
        await client.ready()
        with pytest.raises(ConfigurationError, match="not permitted by allow_targets"):
            await client.reload(other(client, allow_targets=(), group="api"))
        await client.ready()
        assert (await ask(server)).status == 200


async def test_server_that_cannot_be_reached_leaves_the_old_tunnel_where_it_is(world: World) -> None:
    targets = Targets(world)
    async with world.server() as server, world.client(container=targets.container) as client:
        await client.ready()
        before = anyio.current_time()
        with pytest.raises(LinkError) as caught:
            await client.reload(other(client, servers=("memory://nowhere",)))
        assert caught.value.end is LinkEnd.UNREACHABLE
        assert anyio.current_time() - before == pytest.approx(15, abs=0.5)
        assert client.settings.servers == ("memory://edge",)
        assert (await ask(server)).status == 200
        await anyio.sleep(60)
        assert targets.tunnels == 1


async def test_client_that_reaches_nobody_goes_on_by_the_newer_settings(world: World) -> None:
    async with world.client(servers=("memory://nowhere",)) as client:
        await anyio.sleep(1)
        assert await client.reload(other(client, servers=("memory://edge",))) == 2
        assert client.settings.servers == ("memory://edge",)
        async with world.server() as server:
            await client.ready()
            assert (await ask(server)).status == 200


async def test_client_that_is_refused_while_other_settings_are_tried_lives_on_by_these(world: World) -> None:
    async def hesitate(link: Link) -> None:
        await anyio.sleep(5)

    async with (
        world.server() as server,
        ScriptedServer(world.network, hesitate, name="slow").running(),
        world.client() as client,
        anyio.create_task_group() as tasks,
    ):
        await client.ready()
        settings = other(client, token=Secret(OTHER_TOKEN), servers=("memory://slow", "memory://edge"))
        tasks.start_soon(client.reload, settings)
        await anyio.sleep(1)
        # The old token goes while the new one is on its way.
        phone = server.settings.auth.tokens["phone"]
        await server.reload(msgspec.structs.replace(server.settings, auth=AuthSettings(tokens={"phone": phone})))
        await anyio.sleep(1)
        with anyio.fail_after(30):
            await client.ready()
        assert [each.principal for each in server.clients().clients] == ["phone"]


async def test_client_that_is_refused_under_both_settings_ends(world: World) -> None:
    async with world.server() as server, world.client() as client:
        await client.ready()
        await server.reload(msgspec.structs.replace(server.settings, auth=AuthSettings()))
        with pytest.raises(RegistrationRefused):
            await client.wait_closed()
        with pytest.raises((RegistrationRefused, LinkError)):
            await client.reload(other(client, token=Secret("nobody's")))


async def test_cancelled_reload_leaves_the_old_tunnel_where_it_is(world: World) -> None:
    async with world.server() as server, world.client() as client:
        await client.ready()
        with anyio.move_on_after(3) as scope:
            await client.reload(other(client, servers=("memory://nowhere",)))
        assert scope.cancelled_caught
        assert (client.version, len(list(client._lines))) == (1, 1)
        assert (await ask(server)).status == 200


async def test_closing_ends_a_reload_that_is_under_way(world: World) -> None:
    ends: list[LinkEnd] = []

    async def reload(client: Client) -> None:
        with pytest.raises(LinkError) as caught:
            await client.reload(other(client, servers=("memory://nowhere",)))
        ends.append(caught.value.end)

    async with world.server(), world.client() as client, anyio.create_task_group() as tasks:
        await client.ready()
        tasks.start_soon(reload, client)
        await anyio.sleep(1)
        await client.aclose()
        with anyio.fail_after(1):
            await client.wait_closed()
        await until(lambda: ends, within_s=1)
        with pytest.raises(LinkError):
            await client.reload(client.settings)
    assert ends == [LinkEnd.CLOSED]


async def test_client_can_be_left_while_a_reload_gives_up(world: World) -> None:
    """Both close what they had, and neither trips over the other."""

    async def never_ready(link: Link) -> None:
        snapshot = GroupSnapshot.of(group())
        await link.receive()
        await link.send(uncounted(RegisterResponse("t", bytes(32), "s", 1, config_hash=snapshot.hash)))
        await link.send(uncounted(ConfigSyncResponse(1, snapshot.hash, snapshot.encode())))
        await anyio.sleep_forever()

    class Lingering(FakeUpstream):
        async def aclose(self) -> None:
            await super().aclose()
            await anyio.sleep(0.3 * self.closed)

    async def reload(client: Client) -> None:
        with pytest.raises(LinkError):
            await client.reload(other(client, servers=("memory://other",)))

    # Which of the two lines is closed first is not certain.
    for _ in range(4):
        async with (
            anyio.create_task_group() as tasks,
            world.server(),
            ScriptedServer(world.network, never_ready, name="other").running(),
            world.client(Lingering()) as client,
        ):
            await client.ready()
            tasks.start_soon(reload, client)
            await until(lambda lines=client._lines: [line.configuration.hash for line in lines].count("") == 0)  # type: ignore[misc]
            await until(lambda lines=client._lines: len(list(lines)) == 2)  # type: ignore[misc]


async def test_token_that_was_not_resolved_is_a_configuration_error(world: World) -> None:
    async with world.server(), world.client() as client:
        with pytest.raises(ConfigurationError) as caught:
            await client.reload(other(client, token=None, token_env="SOMEWHERE"))
    assert caught.value.key_path == "token"


async def test_scheme_that_no_transport_serves_changes_nothing(world: World) -> None:
    container = world.client_container(FakeUpstream())
    container.transports.set_providers(memory=container.transports.providers["memory"])
    async with world.server() as server, world.client(container=container) as client:
        await client.ready()
        with pytest.raises(ConfigurationError):
            await client.reload(other(client, servers=("ws://127.0.0.1:1",)))
        assert (await ask(server)).status == 200


async def test_superseded_client_is_told_although_it_was_reloaded(world: World) -> None:
    async with world.server(), world.client() as first:
        await first.ready()
        await first.reload(other(first, limits=LimitsSettings(max_sessions=7)))
        async with world.client() as second:
            await second.ready()
            with anyio.fail_after(5), pytest.raises(RegistrationRefused) as caught:
                await first.wait_closed()
    assert caught.value.code is ErrorCode.SUPERSEDED
