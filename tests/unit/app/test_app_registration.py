"""Who may register, what they are told, and what a client makes of a refusal."""

from __future__ import annotations

import random

import anyio
import msgspec
import pytest
from dependency_injector import providers
from support.app_kit import (
    EDGE,
    OTHER_TOKEN,
    FakeUpstream,
    Recorder,
    ScriptedServer,
    World,
    ask,
    group,
    uncounted,
    until,
)

from tunnel.domain.configuration import UpstreamSettings
from tunnel.domain.envelopes import ConfigSyncResponse, Error, Register
from tunnel.domain.errors import ErrorCode, RegistrationRefused
from tunnel.domain.rules.rule import Rule
from tunnel.ports.telemetry import (
    ClientPublished,
    ClientUnpublished,
    ConfigurationApplied,
    ConnectFailed,
    LinkLost,
    RegistrationDenied,
    TunnelReady,
)
from tunnel.ports.transport import Link

pytestmark = pytest.mark.anyio


async def test_coming_and_going_is_told_on_both_sides(world: World) -> None:
    served, dialled = Recorder(), Recorder()
    async with world.server(telemetry=served) as server:
        async with world.client(telemetry=dialled) as client:
            await client.ready()
            (ready,) = dialled.of(TunnelReady)
            (applied,) = dialled.of(ConfigurationApplied)
            (published,) = served.of(ClientPublished)
            assert (
                ready.client_id,
                ready.server,
                published.client_id,
                published.principal,
                published.group,
                published.transport,
            ) == ("one", EDGE, "one", "laptop", "web", "memory")
            assert ready.tunnel_id == published.tunnel_id
            assert applied.rejected == ""
            (record,) = server.clients().clients
            assert (
                record.principal,
                record.client_id,
                record.group,
                record.tunnels[0].published,
            ) == ("laptop", "one", "web", True)
        await until(lambda: served.of(ClientUnpublished), within_s=0.1)
        assert server.clients().clients == ()
        assert (await ask(server)).status == 503
    assert served.of(LinkLost) == []


# -- refusals for good


@pytest.mark.rule("L4")
@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"token": "wrong"}, ErrorCode.UNAUTHENTICATED),
        ({"token": OTHER_TOKEN, "group": "api"}, ErrorCode.FORBIDDEN),
        ({"group": "nowhere"}, ErrorCode.FORBIDDEN),
    ],
)
async def test_refusal_for_good_ends_the_client_once(world: World, changes: dict[str, str], code: ErrorCode) -> None:
    served = Recorder()
    async with world.server(telemetry=served) as server, world.client(**changes) as client:
        for wait in (client.ready, client.wait_closed):
            with pytest.raises(RegistrationRefused) as caught:
                await wait()
            assert code is caught.value.code
        await anyio.sleep(120)
        (denied,) = served.of(RegistrationDenied)
        assert code.value == denied.code
        assert server.clients().clients == ()
        for secret in ("wrong", OTHER_TOKEN):
            assert secret not in repr(served.events)


@pytest.mark.rule("H10")
async def test_unknown_group_and_forbidden_group_are_refused_alike(world: World) -> None:
    reasons = []
    async with world.server():
        for name in ("api", "nowhere"):
            async with world.client(token=OTHER_TOKEN, group=name) as client:
                with pytest.raises(RegistrationRefused) as caught:
                    await client.ready()
                reasons.append(caught.value.reason.replace(name, "X"))
    assert reasons[0] == reasons[1]


@pytest.mark.rule("H9")
async def test_no_common_version_is_a_refusal_for_good(world: World) -> None:
    async def script(link: Link) -> None:
        await link.receive()
        await link.send(uncounted(Error("forbidden", "no common protocol version")))

    scripted = ScriptedServer(world.network, script)
    async with scripted.running(), world.client() as client:
        with pytest.raises(RegistrationRefused, match="no common protocol version"):
            await client.ready()
        await anyio.sleep(60)
    assert scripted.links == 1


# -- refusals for now


async def test_client_finds_a_server_that_comes_later(world: World) -> None:
    dialled = Recorder()
    async with world.client(telemetry=dialled) as client:
        await anyio.sleep(100)
        async with world.server() as server:
            with anyio.fail_after(31):
                await client.ready()
            assert (await ask(server)).status == 200
    assert all("nobody listens" in failed.reason for failed in dialled.of(ConnectFailed))


@pytest.mark.rule("L6")
async def test_delays_grow_with_jitter_up_to_half_a_minute(world: World) -> None:
    dialled = Recorder()
    container = world.client_container(FakeUpstream(), telemetry=dialled)
    container.random.override(providers.Object(random.Random(1)))
    async with world.client(container=container):
        await anyio.sleep(600)
    delays = [failed.retry_s for failed in dialled.of(ConnectFailed)]
    for delay, ceiling in zip(delays, [0.5, 1, 2, 4, 8, 16, *[30] * len(delays)], strict=False):
        assert 0 <= delay < ceiling
    assert max(delays) > 16
    assert len(set(delays)) == len(delays)
    assert 600 / 30 <= len(delays) <= 100


async def test_overloaded_server_is_asked_again(world: World) -> None:
    async def script(link: Link) -> None:
        await link.receive()
        await link.send(uncounted(Error("overloaded", "too many clients are registering")))

    dialled = Recorder()
    scripted = ScriptedServer(world.network, script)
    async with scripted.running(), world.client(telemetry=dialled) as client:
        await until(lambda: scripted.links >= 4)
        assert {"too many clients are registering"} == {failed.reason for failed in dialled.of(ConnectFailed)}
        with anyio.move_on_after(1) as still_waiting:
            await client.ready()
        assert still_waiting.cancelled_caught


@pytest.mark.rule("L3")
async def test_servers_are_tried_in_order(world: World) -> None:
    dialled = Recorder()
    client = world.client(servers=("memory://nobody", "memory://second", EDGE), telemetry=dialled)
    async with world.server(name="edge"), client:
        await client.ready()
        assert dialled.of(TunnelReady)[0].server == EDGE
        told = [(each.server, each.retry_s) for each in dialled.of(ConnectFailed)]
        assert told == [("memory://nobody", 0.0), ("memory://second", 0.0)]


async def test_client_tells_of_each_server_why_it_could_not_be_used(world: World) -> None:
    dialled = Recorder()
    client = world.client(servers=("memory://nobody", "memory://second"), telemetry=dialled)
    async with client:
        await until(lambda: len(dialled.of(ConnectFailed)) >= 2)
        first, last = dialled.of(ConnectFailed)[:2]
        assert (first.server, last.server) == ("memory://nobody", "memory://second")
        assert first.retry_s == 0 < last.retry_s
        assert client.failure == f"{first.server}: {first.reason}; {last.server}: {last.reason}"


@pytest.mark.rule("H25")
async def test_links_beyond_max_links_are_refused_for_now(world: World) -> None:
    """Several clients of one process share nothing, so this takes two registrations of one instance by hand."""
    from support.app_kit import register

    async with world.server(max_links=1):
        first = await register(world)
        await first.receive()
        second = await register(world)
        (envelope,) = (await second.receive()).envelopes
        assert isinstance(envelope.payload, Error)
        assert envelope.payload.code == "refused"
        await first.aclose()
        await second.aclose()


# -- superseding


@pytest.mark.rule("H23")
async def test_newer_instance_takes_the_place_of_the_older_for_good(world: World) -> None:
    old_upstream, new_upstream = FakeUpstream(), FakeUpstream()
    async with world.server() as server, world.client(old_upstream) as old:
        await old.ready()
        await ask(server)
        async with world.client(new_upstream) as new:
            await new.ready()
            with pytest.raises(RegistrationRefused) as caught:
                await old.wait_closed()
            assert ErrorCode.SUPERSEDED is caught.value.code
            await anyio.sleep(120)
            assert len(server.clients().clients) == 1
            assert (await ask(server)).status == 200
            await new.ready()
    assert (len(old_upstream.heads), len(new_upstream.heads)) == (1, 1)


@pytest.mark.rule("H23")
async def test_older_instance_whose_link_hangs_is_told_when_it_comes_back(world: World) -> None:
    async with world.server() as server, world.client(heartbeat_s=1) as old:
        await old.ready()
        world.network.silence()
        async with world.client() as new:
            await new.ready()
            with anyio.fail_after(10), pytest.raises(RegistrationRefused) as caught:
                await old.wait_closed()
            assert ErrorCode.SUPERSEDED is caught.value.code
            assert (await ask(server)).status == 200


@pytest.mark.rule("H22")
async def test_no_credential_displaces_the_client_of_another(world: World) -> None:
    async with (
        world.server() as server,
        world.client(client_id="same") as mine,
        world.client(client_id="same", token=OTHER_TOKEN) as theirs,
    ):
        await mine.ready()
        await theirs.ready()
        await anyio.sleep(20)
        assert sorted(each.principal for each in server.clients().clients) == ["laptop", "phone"]


# -- configuration


@pytest.mark.rule("H11")
async def test_configuration_that_was_applied_before_is_not_sent_again(world: World) -> None:
    dialled = Recorder()
    async with world.server() as server, world.client(telemetry=dialled) as client:
        await client.ready()
        world.network.sever()
        await until(lambda: len(dialled.of(TunnelReady)) == 2)
        assert (await ask(server)).status == 200
        assert len(dialled.of(ConfigurationApplied)) == 1


@pytest.mark.rule("H19")
async def test_configuration_that_changed_is_sent_again_and_its_targets_replace_the_old(world: World) -> None:
    dialled = Recorder()
    made: list[tuple[str, FakeUpstream]] = []

    def make(url: str, *_: object) -> FakeUpstream:
        made.append((url, FakeUpstream()))
        return made[-1][1]

    container = world.client_container(telemetry=dialled)
    container.targets.providers["http"].override(providers.Callable(make))
    changed = group(upstreams={"app": UpstreamSettings(targets=("http://127.0.0.1:4000",))})
    async with world.client(container=container) as client:
        async with world.server():
            await client.ready()
        async with world.server(groups={"web": changed}) as server:
            await until(lambda: len(dialled.of(TunnelReady)) == 2)
            await client.ready()
            assert (await ask(server)).status == 200
        await until(lambda: made[0][1].closed)
        assert [url for url, _ in made] == ["http://127.0.0.1:3000", "http://127.0.0.1:4000"]
        assert [each.closed for _, each in made] == [1, 0]
    assert [each.closed for _, each in made] == [1, 1]


@pytest.mark.rule("H12")
async def test_configuration_larger_than_a_frame_comes_in_parts(world: World) -> None:
    rules = tuple(Rule(path=f"/{'p' * 200}/{number}", upstream="app") for number in range(2000))
    async with world.server(groups={"web": group(rules=rules)}) as server, world.client() as client:
        await client.ready()
        assert (await ask(server, f"/{'p' * 200}/1999")).status == 200
        assert (await ask(server, "/other")).status == 404


@pytest.mark.rule("H15")
async def test_rejected_configuration_is_told_to_both_sides_and_tried_again_later(world: World) -> None:
    served, dialled = Recorder(), Recorder()
    forbidden = group(upstreams={"app": UpstreamSettings(targets=("http://10.0.0.1:80",))})
    async with (
        world.server(groups={"web": forbidden}, telemetry=served) as server,
        world.client(telemetry=dialled) as client,
    ):
        with anyio.move_on_after(120) as never_ready:
            await client.ready()
        assert never_ready.cancelled_caught
        assert server.clients().clients == ()
    rejections = [applied.rejected for applied in dialled.of(ConfigurationApplied)]
    assert {'upstreams.app.targets[0]: "http://10.0.0.1:80" is not permitted by allow_targets'} == set(rejections)
    assert 5 <= len(rejections) <= 60
    assert all("not permitted by allow_targets" in lost.reason for lost in dialled.of(LinkLost))
    assert served.of(ClientPublished) == []
    assert dialled.of(TunnelReady) == []
    assert any("not permitted by allow_targets" in str(event) for event in served.events)


@pytest.mark.rule("H14")
async def test_target_that_cannot_be_made_is_a_rejected_configuration(world: World) -> None:
    """The client lives on and tries again, as the server's configuration may be mended."""
    dialled = Recorder()
    container = world.client_container(telemetry=dialled)

    def fail(*_: object) -> FakeUpstream:
        raise LookupError("no certificate store")

    container.targets.providers["http"].override(providers.Callable(fail))
    async with world.server(), world.client(container=container) as client:
        with anyio.move_on_after(60) as never_ready:
            await client.ready()
        assert never_ready.cancelled_caught
    assert len(dialled.of(ConfigurationApplied)) >= 3
    assert {"could not be applied: LookupError: no certificate store"} == {
        applied.rejected for applied in dialled.of(ConfigurationApplied)
    }


@pytest.mark.rule("H14")
async def test_configuration_that_is_garbage_is_rejected(world: World) -> None:
    answers = []

    async def script(link: Link) -> None:
        from tunnel.domain.envelopes import RegisterResponse

        request = (await link.receive()).envelopes[0].payload
        assert isinstance(request, Register)
        await link.send(uncounted(RegisterResponse("t", bytes(32), "s", 1, config_hash="h")))
        await link.send(uncounted(ConfigSyncResponse(1, "h", b"\xff{")))
        answers.append((await link.receive()).envelopes[0].payload)

    async with ScriptedServer(world.network, script).running(), world.client():
        await until(lambda: answers)
    assert type(answers[0]).__name__ == "ConfigRejected"


@pytest.mark.rule("H13")
async def test_configuration_without_end_ends_the_link(world: World) -> None:
    """Not the memory: parts are bounded together."""
    dialled = Recorder()

    async def script(link: Link) -> None:
        from tunnel.domain.envelopes import RegisterResponse

        await link.receive()
        await link.send(uncounted(RegisterResponse("t", bytes(32), "s", 1, config_hash="h")))
        part = uncounted(ConfigSyncResponse(1, "h", bytes(128 * 1024), more=True))
        while True:
            await link.send(part)

    async with ScriptedServer(world.network, script).running(), world.client(telemetry=dialled):
        await until(lambda: dialled.of(LinkLost))
    assert dialled.of(LinkLost)[0].end == "violated"


async def test_register_of_a_client_says_who_it_is_and_nothing_of_its_token(world: World) -> None:
    requests: list[Register] = []

    async def script(link: Link) -> None:
        payload = (await link.receive()).envelopes[0].payload
        assert isinstance(payload, Register)
        requests.append(payload)

    dialled = Recorder()
    async with ScriptedServer(world.network, script).running(), world.client(telemetry=dialled) as client:
        await until(lambda: len(requests) >= 2)
        assert "a token" not in repr(requests) + repr(dialled.events) + repr(client.settings)
    first, second = requests[:2]
    assert msgspec.structs.replace(first) == second
    assert (
        len(first.instance_id),
        first.client_id,
        first.group_id,
        first.credential,
    ) == (16, "one", "web", "a token")
