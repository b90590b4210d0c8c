"""Peers that break the handshake: silent, too early, or talking garbage."""

from __future__ import annotations

from typing import Any

import anyio
import msgspec
import pytest
from dependency_injector import providers
from support.app_kit import (
    TOKEN,
    FakeStream,
    FakeUpstream,
    Recorder,
    ScriptedServer,
    World,
    ask,
    counted,
    group,
    register,
    uncounted,
    until,
)

from tunnel.adapters.memory.link import MemoryLink, MemoryPair
from tunnel.app.server import Server
from tunnel.domain.configuration import GroupSnapshot
from tunnel.domain.envelopes import (
    KIND_OF,
    Close,
    ConfigApplied,
    ConfigRejected,
    ConfigSyncResponse,
    Envelope,
    Error,
    Frame,
    HttpRequest,
    Kind,
    Payload,
    Ping,
    Pong,
    Register,
    RegisterResponse,
    SessionPayload,
    WindowUpdate,
)
from tunnel.domain.errors import LinkEnd, LinkError, RegistrationRefused
from tunnel.domain.identity import PeerInfo, Principal
from tunnel.domain.limits import MAX_TEXT_CHARS, Limits
from tunnel.domain.rules.rule import Rule
from tunnel.ports.authenticator import Authenticator
from tunnel.ports.telemetry import (
    ClientConfigured,
    ClientPublished,
    ConnectFailed,
    LinkLost,
    RegistrationDenied,
    TunnelReady,
)
from tunnel.ports.transport import Link, Transport

pytestmark = pytest.mark.anyio

GET = HttpRequest("GET", b"/", host=b"app.test", end=True)
REGISTER = Register((1,), "raw", "web", bytes(16), TOKEN)


async def said(link: MemoryLink) -> list[Payload]:
    """All that the server says until it closes, in order."""
    payloads: list[Payload] = []
    with pytest.raises(LinkError) as caught:  # noqa: PT012
        while True:
            payloads += [envelope.payload for envelope in (await link.receive()).envelopes]
    assert caught.value.end in (LinkEnd.ENDED, LinkEnd.BROKEN)
    return payloads


def kinds(payloads: list[Payload]) -> list[str]:
    return [type(each).__name__ for each in payloads if not isinstance(each, Ping)]


# -- clients the server cannot trust


@pytest.mark.rule("H2")
async def test_client_that_says_nothing_is_dropped_when_its_time_is_up(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "tunnel.links")
    served = Recorder()
    async with world.server(telemetry=served):
        link = world.network.dial("edge")
        before = anyio.current_time()
        assert await said(link) == []
        assert anyio.current_time() - before == pytest.approx(10, abs=0.1)
    # Whoever knocks at a public port is not news for operators.
    assert served.of(LinkLost) == []
    assert "no Register within 10 s" in caplog.text


@pytest.mark.rule("H1")
@pytest.mark.parametrize(
    "first",
    [
        Frame(()),
        uncounted(Ping(1)),
        uncounted(ConfigApplied(1, "h")),
        counted(1, 1, GET),
        counted(1, 0, Register((1,), "c", "web", bytes(16), "a token")),
    ],
)
async def test_first_frame_that_is_no_register_ends_the_link(
    world: World, first: Frame, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "tunnel.links")
    async with world.server() as server:
        link = world.network.dial("edge")
        await link.send(first)
        assert await said(link) == []
        assert "violated" in caplog.text
        async with world.client() as client:
            await client.ready()
            assert (await ask(server)).status == 200


@pytest.mark.rule("H9", "H10")
@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"credential": "wrong"}, "unauthenticated"),
        ({"credential": ""}, "unauthenticated"),
        ({"group_id": "nowhere"}, "forbidden"),
        ({"versions": (2, 3)}, "forbidden"),
        ({"versions": ()}, "forbidden"),
        ({"client_id": ""}, "protocol_error"),
        ({"instance_id": b"short"}, "protocol_error"),
    ],
)
async def test_register_that_will_not_do_is_answered_with_the_reason(
    world: World, fields: dict[str, object], code: str
) -> None:
    async with world.server() as server:
        (error,) = await said(await register(world, **fields))
        assert isinstance(error, Error)
        assert (code, ()) == (error.code, server.clients().clients)


@pytest.mark.rule("H18", "T1")
async def test_client_is_not_given_sessions_before_it_applied_its_configuration(world: World) -> None:
    async with world.server() as server:
        link = await register(world)
        assert kinds([(await link.receive()).envelopes[0].payload]) == ["RegisterResponse"]
        assert not server.clients().clients[0].tunnels[0].published
        assert (await ask(server)).status == 503
        await link.aclose()
        await until(lambda: not server.clients().clients, within_s=0.1)


@pytest.mark.rule("H3")
async def test_client_that_never_applies_its_configuration_is_closed(world: World) -> None:
    async with world.server() as server:
        payloads = await said(await register(world))
        assert kinds(payloads) == ["RegisterResponse", "ConfigSyncResponse", "Close"]
        assert "no config_applied within 10 s" in str(payloads[-1])
        assert anyio.current_time() == pytest.approx(10, abs=0.5)
        assert server.clients().clients == ()


async def test_client_that_does_not_read_its_configuration_is_dropped(world: World) -> None:
    rules = tuple(Rule(path=f"/{'p' * 200}/{number}", upstream="app") for number in range(4000))
    served = Recorder()
    async with world.server(groups={"web": group(rules=rules)}, telemetry=served) as server:
        await register(world)
        await anyio.sleep(1)
        assert len(server.clients().clients) == 1
        await anyio.sleep(20)
        assert server.clients().clients == ()
        assert world.network.pairs() == []


async def test_client_whose_authentication_never_returns_is_dropped(world: World) -> None:
    class Stuck(Authenticator):
        async def authenticate(self, credential: str, peer: PeerInfo) -> Principal:
            await anyio.sleep_forever()
            raise AssertionError

        def current(self, principal: Principal) -> Principal | None:
            return principal

    container = world.server_container()
    container.authenticator.override(providers.Object(Stuck()))
    async with world.server(container=container):
        assert await said(await register(world)) == []
        assert anyio.current_time() == pytest.approx(10, abs=0.5)


@pytest.mark.rule("H1")
@pytest.mark.parametrize(
    "applied",
    [ConfigApplied(1, "another hash"), ConfigSyncResponse(1, "h", b"{}")],
)
async def test_wrong_answer_to_the_configuration_closes_the_tunnel(world: World, applied: Payload) -> None:
    served = Recorder()
    async with world.server(telemetry=served):
        link = await register(world)
        await link.send(uncounted(applied))
        payloads = await said(link)
        assert isinstance(payloads[-1], Close)
        assert payloads[-1].code == "protocol_error"
    assert served.of(ClientPublished) == []


@pytest.mark.rule("H27")
@pytest.mark.parametrize("again", [ConfigApplied, ConfigRejected])
async def test_configuration_is_answered_once(world: World, again: type[ConfigApplied | ConfigRejected]) -> None:
    """Or a client could have the server write logs as fast as it can send."""
    served = Recorder()
    async with world.server(telemetry=served):
        link = await register(world)
        (envelope,) = (await link.receive()).envelopes
        assert isinstance(envelope.payload, RegisterResponse)
        digest = envelope.payload.config_hash
        await link.send(uncounted(ConfigApplied(1, digest)))
        await link.send(uncounted(again(1, digest) if again is ConfigApplied else ConfigRejected(1, digest, "no")))
        payloads = await said(link)
        assert isinstance(payloads[-1], Close)
        assert (payloads[-1].code, payloads[-1].message) == ("protocol_error", f"unexpected {again.__name__}")
    assert served.of(ClientConfigured) == [ClientConfigured("raw", "web", 1)]


@pytest.mark.rule("H20")
@pytest.mark.parametrize("early", [GET, WindowUpdate(1)])
async def test_session_before_the_configuration_is_applied_ends_the_tunnel(world: World, early: SessionPayload) -> None:
    async with world.server() as server:
        link = await register(world)
        await link.send(counted(1, 1, early))
        payloads = await said(link)
        assert isinstance(payloads[-1], Close)
        assert payloads[-1].code == "protocol_error"
        assert server.clients().clients == ()


@pytest.mark.rule("S19")
async def test_session_of_a_client_is_forbidden_where_nothing_is_forwarded(world: World) -> None:
    async with world.server():
        link = await register(world)
        (await link.receive(),)
        (envelope,) = (await link.receive()).envelopes
        assert isinstance(envelope.payload, ConfigSyncResponse)
        await link.send(uncounted(ConfigApplied(1, envelope.payload.hash)))
        await link.send(counted(1, 1, GET))
        (envelope,) = (await link.receive()).envelopes
        assert isinstance(envelope.payload, Error)
        assert (envelope.session_id, envelope.payload.code) == (1, "forbidden")
        await link.aclose()


async def test_conversation_whose_head_never_completes_leaves_nothing_behind(world: World) -> None:
    """The client goes amid the parts of a head: the credit promised for them is given back."""
    async with world.server():
        link = await register(world)
        (await link.receive(),)
        (envelope,) = (await link.receive()).envelopes
        assert isinstance(envelope.payload, ConfigSyncResponse)
        await link.send(uncounted(ConfigApplied(1, envelope.payload.hash)))
        await link.send(counted(1, 1, msgspec.structs.replace(GET, end=False, more=True)))
        await anyio.sleep(0.01)
        await link.aclose()
        await anyio.sleep(0.01)


async def test_conversation_that_comes_with_the_end_of_the_link_leaves_nothing_behind(world: World) -> None:
    """It is given to a task that waits for work, and everything is cancelled before that task wakes up."""
    post = msgspec.structs.replace(GET, end=False)
    async with world.server():
        link = await register(world)
        (await link.receive(),)
        (envelope,) = (await link.receive()).envelopes
        assert isinstance(envelope.payload, ConfigSyncResponse)
        await link.send(uncounted(ConfigApplied(1, envelope.payload.hash)))
        await link.send(counted(1, 1, post))
        await anyio.sleep(0.1)
        await link.send(counted(2, 3, post))
        await link.aclose()
        await anyio.sleep(0.1)


@pytest.mark.rule("H5")
async def test_too_many_clients_at_once_are_turned_away_for_now(world: World) -> None:
    async with world.server():
        silent = [world.network.dial("edge") for _ in range(256)]
        await anyio.sleep(0.01)
        (error,) = await said(await register(world))
        assert isinstance(error, Error)
        assert error.code == "overloaded"
        await silent[0].aclose()
        await anyio.sleep(0.01)
        link = await register(world)
        assert isinstance((await link.receive()).envelopes[0].payload, RegisterResponse)
        for each in (*silent, link):
            await each.aclose()


# -- servers the client cannot trust


@pytest.mark.rule("H4")
async def test_server_that_says_nothing_is_left_when_its_time_is_up(world: World) -> None:
    async def script(link: Link) -> None:
        await anyio.sleep_forever()

    dialled = Recorder()
    scripted = ScriptedServer(world.network, script)
    async with scripted.running(), world.client(telemetry=dialled, handshake_s=3):
        await until(lambda: dialled.of(ConnectFailed), within_s=3.1)
        assert dialled.of(ConnectFailed)[0].reason == "no RegisterResponse within 3 s"
        await until(lambda: scripted.links >= 3)


@pytest.mark.rule("H1")
@pytest.mark.parametrize("first", [Frame(()), uncounted(Ping(1)), counted(1, 2, GET)])
async def test_server_that_answers_garbage_is_left(world: World, first: Frame) -> None:
    async def script(link: Link) -> None:
        await link.receive()
        await link.send(first)
        await anyio.sleep_forever()

    dialled = Recorder()
    async with ScriptedServer(world.network, script).running(), world.client(telemetry=dialled):
        await until(lambda: len(dialled.of(ConnectFailed)) >= 2)
    assert {"expected RegisterResponse"} == {failed.reason for failed in dialled.of(ConnectFailed)}


@pytest.mark.rule("H1")
@pytest.mark.parametrize("before", [(), (Ping(1),), (RegisterResponse("t", bytes(32), "s", 1),)])
@pytest.mark.parametrize("after", [(), (Close("forbidden", "go"),)])
async def test_refusal_is_heard_wherever_it_stands_in_its_frame(
    world: World, before: tuple[Payload, ...], after: tuple[Payload, ...]
) -> None:
    async def script(link: Link) -> None:
        await link.receive()
        refusal = Error("forbidden", "not you")
        said = (*before, refusal, *after)
        await link.send(Frame(tuple(Envelope(0, KIND_OF[type(each)], each) for each in said)))
        await anyio.sleep_forever()

    async with ScriptedServer(world.network, script).running(), world.client() as client:
        with pytest.raises(RegistrationRefused, match="not you"):
            await client.ready()


@pytest.mark.rule("H1")
async def test_error_of_a_session_refuses_no_registration(world: World) -> None:
    async def script(link: Link) -> None:
        await link.receive()
        await link.send(Frame((Envelope(2, Kind.ERROR, Error("forbidden", "not you")),)))
        await anyio.sleep_forever()

    dialled = Recorder()
    async with ScriptedServer(world.network, script).running(), world.client(telemetry=dialled):
        await until(lambda: len(dialled.of(ConnectFailed)) >= 2)
    assert {"expected RegisterResponse"} == {failed.reason for failed in dialled.of(ConnectFailed)}


@pytest.mark.rule("H4")
async def test_server_that_sends_no_configuration_is_left(world: World) -> None:
    async def script(link: Link) -> None:
        await link.receive()
        await link.send(uncounted(RegisterResponse("t", bytes(32), "s", 1, config_hash="h")))
        while True:
            for envelope in (await link.receive()).envelopes:
                if isinstance(envelope.payload, Ping):
                    from tunnel.domain.envelopes import Pong

                    await link.send(uncounted(Pong(envelope.payload.nonce)))

    dialled = Recorder()
    scripted = ScriptedServer(world.network, script)
    async with scripted.running(), world.client(telemetry=dialled):
        await until(lambda: scripted.links >= 2)
    assert dialled.of(TunnelReady) == []


@pytest.mark.rule("H20")
async def test_server_that_sends_sessions_before_the_configuration_is_left(world: World) -> None:
    closes: list[Payload] = []

    async def script(link: Link) -> None:
        await link.receive()
        await link.send(uncounted(RegisterResponse("t", bytes(32), "s", 1, config_hash="h")))
        await link.send(counted(1, 2, GET))
        while True:
            closes.extend(e.payload for e in (await link.receive()).envelopes if isinstance(e.payload, Close))

    upstream = FakeUpstream()
    dialled = Recorder()
    async with ScriptedServer(world.network, script).running(), world.client(upstream, telemetry=dialled):
        await until(lambda: closes and dialled.of(LinkLost))
    assert isinstance(closes[0], Close)
    assert (closes[0].code, dialled.of(LinkLost)[0].end) == ("protocol_error", "violated")
    assert upstream.heads == []


@pytest.mark.rule("H7")
async def test_limits_of_each_side_bind_the_other(world: World) -> None:
    """What a client announced is respected, however small: a client of other limits gets pieces that fit."""
    upstream = FakeUpstream()
    async with (
        world.server() as server,
        world.client(upstream, session_window_bytes=8192, session_window_max_bytes=8192) as client,
    ):
        await client.ready()
        body = bytes(100_000)
        stream = FakeStream(HttpRequest("POST", b"/", host=b"app.test", body=body, end=True))
        await server._target.handle(stream)
        assert body == stream.body
    assert Limits().session_window_bytes > 8192


@pytest.mark.rule("L5")
async def test_garbage_after_the_handshake_ends_that_tunnel_only(world: World) -> None:
    served = Recorder()
    async with world.server(telemetry=served) as server, world.client(client_id="good") as client:
        await client.ready()
        link = await register(world)
        (await link.receive(),)
        (envelope,) = (await link.receive()).envelopes
        assert isinstance(envelope.payload, ConfigSyncResponse)
        await link.send(uncounted(ConfigApplied(1, envelope.payload.hash)))
        await until(lambda: len(served.of(ClientPublished)) == 2)
        await link.send(counted(7, 1, GET))
        assert isinstance((await said(link))[-1], Close)
        assert [each.client_id for each in server.clients().clients] == ["good"]
        assert (await ask(server)).status == 200


@pytest.mark.rule("L4")
async def test_link_that_is_refused_after_it_was_opened_ends_the_client(world: World) -> None:
    refused = LinkError(LinkEnd.REFUSED, "permission denied")

    class Refusing(MemoryLink):
        async def receive(self) -> Frame:
            raise refused

    class RefusingTransport(Transport):
        dialled = 0

        async def connect(self, url: str, *, timeout_s: float) -> Link:
            self.dialled += 1
            link = world.network.dial("edge")
            link.__class__ = Refusing
            return link

    transport = RefusingTransport()
    container = world.client_container(FakeUpstream())
    container.transports.providers["memory"].override(providers.Object(transport))
    async with world.server(), world.client(container=container) as client:
        with pytest.raises(RegistrationRefused, match="permission denied"):
            await client.ready()
    assert transport.dialled == 1


@pytest.mark.rule("H6")
@pytest.mark.parametrize(
    ("client_id", "instance_id"),
    [("", bytes(16)), ("x" * 129, bytes(16)), ("a\nb", bytes(16)), ("one", b""), ("one", bytes(17))],
)
async def test_improper_names_are_refused(world: World, client_id: str, instance_id: bytes) -> None:
    async with world.server():
        link = await register(world, client_id=client_id, instance_id=instance_id)
        (error,) = await said(link)
        assert isinstance(error, Error)
        assert error.code == "protocol_error"


@pytest.mark.rule("H8")
async def test_limits_nobody_can_keep_to_are_refused_by_the_server(world: World) -> None:
    async with world.server():
        link = await register(world, limits=Limits(session_window_bytes=1024))
        (error,) = await said(link)
        assert isinstance(error, Error)
        assert error.code == "protocol_error"


async def test_client_that_was_authenticated_when_the_server_stopped_is_not_registered(world: World) -> None:
    async with world.server() as server:
        pass
    pair = MemoryPair("edge")
    await pair.client.send(uncounted(REGISTER))
    await server._links.proxy(pair.server)
    assert server.clients().clients == ()
    assert server._links._visits == {}


async def test_reason_of_a_refusal_quotes_no_more_than_anyone_reads(world: World) -> None:
    """It is logged, and sent in one frame."""
    served = Recorder()
    async with world.server(telemetry=served):
        (error,) = await said(await register(world, versions=(9,) * 100_000))
        assert isinstance(error, Error)
        (denied,) = served.of(RegistrationDenied)
        assert len(denied.reason) == len(error.message) == MAX_TEXT_CHARS


async def test_reason_of_a_server_is_cut_too(world: World) -> None:
    dialled = Recorder()

    async def script(link: Link) -> None:
        await link.receive()
        await link.send(uncounted(Error("refused", "r" * 100_000)))

    async with ScriptedServer(world.network, script).running(), world.client(telemetry=dialled):
        await until(lambda: dialled.of(ConnectFailed))
    assert len(dialled.of(ConnectFailed)[0].reason) == MAX_TEXT_CHARS


async def test_client_that_reads_nothing_is_not_asked_for_a_sign_of_life_ever_more(world: World) -> None:
    """However often its process registers anew, and it keeps saying that it is there."""
    async with world.server() as server:
        first = await published(world, server)
        (visit,) = server._links._visits.values()
        for _ in range(20):
            link = await register(world)
            await link.receive()
            link.abort()
            await first.send(uncounted(Ping(1)))
        assert [type(each) for each in visit.tunnel.mux._out._uncounted] == [Ping]
        first.abort()


async def test_server_that_reads_nothing_is_not_answered_ever_more(world: World) -> None:
    """However often it sends a configuration."""
    waiting: list[list[type]] = []

    async def script(link: Link) -> None:
        snapshot = GroupSnapshot.of(group())
        await link.receive()
        await link.send(uncounted(RegisterResponse("t", bytes(32), "s", 1, config_hash="another")))
        for version in range(1, 20):
            await link.send(uncounted(ConfigSyncResponse(version, str(version), snapshot.encode())))
            await link.send(uncounted(ConfigSyncResponse(version, f"{version}, broken", b"{")))
        await anyio.sleep(0.1)
        visit = client._lines.current.dialer._visit
        assert visit is not None
        waiting.append([type(each) for each in visit.tunnel.mux._out._uncounted])

    async with ScriptedServer(world.network, script).running(), world.client() as client:
        await until(lambda: waiting)
    assert waiting == [[ConfigApplied, ConfigRejected, Ping]]


async def test_process_that_dials_again_is_served_on_its_new_link_until_the_old_one_answers(world: World) -> None:
    """As after a loss that only the client has noticed."""
    async with world.server() as server:
        first = await published(world, server, instance_id=bytes(16))
        second = await published(world, server, instance_id=bytes(16), published_before=1)
        assert await pings(first) == 1
        assert [tunnel.published for tunnel in server.clients().clients[0].tunnels] == [False, True]
        await first.send(Frame((Envelope(0, Kind.PONG, Pong(1)),)))
        await until(lambda: all(tunnel.published for tunnel in server.clients().clients[0].tunnels))
        second.abort()
        first.abort()


async def published(world: World, server: Server, *, published_before: int = 0, **fields: Any) -> MemoryLink:
    """A link that has registered and applied its configuration, by hand."""
    link = await register(world, **fields)
    while True:
        (envelope,) = (await link.receive()).envelopes
        if isinstance(envelope.payload, ConfigSyncResponse):
            break
    await link.send(uncounted(ConfigApplied(envelope.payload.version, envelope.payload.hash)))
    await until(lambda: sum(len(c.tunnels) for c in server.clients().clients) == published_before + 1)
    await until(lambda: [t.published for c in server.clients().clients for t in c.tunnels][-1])
    return link


async def pings(link: MemoryLink) -> int:
    """The nonce of the ping that comes next."""
    while True:
        for envelope in (await link.receive()).envelopes:
            if isinstance(envelope.payload, Ping):
                return envelope.payload.nonce
