"""Starting, draining, closing and failing: what is left running, and who is told."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import pytest
from dependency_injector import providers
from support.app_kit import (
    FakeStream,
    FakeUpstream,
    Recorder,
    ScriptedServer,
    World,
    ask,
    echo,
    group,
    until,
)
from support.door import Door

from tunnel.adapters.memory.network import MemoryNetwork
from tunnel.app.server import Server
from tunnel.domain.configuration import HttpIngressSettings, IngressSettings, ServerSettings
from tunnel.domain.envelopes import BodyChunk, HttpRequest, HttpResponse
from tunnel.domain.errors import ErrorCode, LinkEnd, LinkError, ListenError, SessionError
from tunnel.ports.target import Stream
from tunnel.ports.telemetry import LinkLost, Listening, TunnelReady
from tunnel.ports.transport import Link, LinkService, Listener

pytestmark = pytest.mark.anyio

GET = HttpRequest("GET", b"/", host=b"app.test", end=True)


def door(**failing: Exception) -> Door:
    """An ingress without visitors. Fails where it is told to."""
    return Door(HttpIngressSettings(listen="127.0.0.1:8080"), failing=failing)


def with_ingress(world: World, ingress: Door, telemetry: Recorder | None = None) -> Server:
    container = world.server_container(telemetry)
    container.ingresses.providers["http"].override(providers.Callable(lambda *_: ingress))
    settings = world.server().settings
    return Server(
        ServerSettings(
            transports=settings.transports,
            ingress=IngressSettings(http=HttpIngressSettings(listen="127.0.0.1:8080")),
            auth=settings.auth,
            rules=settings.rules,
            groups=settings.groups,
            limits=settings.limits,
        ),
        container=container,
    )


def is_free(network: MemoryNetwork, name: str = "edge") -> bool:
    try:
        network.take(name)
    except ListenError:
        return False
    network.release(name)
    return True


# -- starting


async def test_listeners_tell_where_they_are_once_all_are_up(world: World) -> None:
    served = Recorder()
    async with with_ingress(world, door(), served) as server:
        assert server.addresses == {"transport.memory": "edge", "ingress.http": "127.0.0.1:8080"}
        assert [(each.kind, each.name) for each in served.of(Listening)] == [
            ("transport", "memory"),
            ("ingress", "http"),
        ]


async def test_listener_that_cannot_be_bound_leaves_nothing_running(world: World) -> None:
    async with world.server():
        with pytest.raises(ListenError):
            async with world.server():
                pytest.fail("entered")
    assert is_free(world.network)


async def test_ingress_that_cannot_be_bound_gives_the_transports_back(world: World) -> None:
    with pytest.raises(ListenError):
        async with with_ingress(world, door(bind=ListenError("127.0.0.1:8080", "in use"))):
            pytest.fail("entered")
    assert is_free(world.network)
    async with world.server():
        pass


async def test_ingress_that_fails_to_start_raises_as_it_is_and_leaves_nothing_running(world: World) -> None:
    ingress = door(start=ListenError("127.0.0.1:8080", "taken meanwhile"))
    with pytest.raises(ListenError, match="taken meanwhile"):
        async with with_ingress(world, ingress):
            pytest.fail("entered")
    assert (is_free(world.network), ingress.bound) == (True, False)


@pytest.mark.parametrize("failure", [ListenError("nowhere", "taken meanwhile"), None])
async def test_transport_that_fails_to_start_or_returns_at_once_does_not_hang(
    world: World, failure: ListenError | None
) -> None:
    class FailingListener(Listener):
        @property
        def address(self) -> str:
            return "nowhere"

        def bind(self) -> None:
            pass

        async def serve(self, service: LinkService, started: Callable[[], None]) -> None:
            if failure is not None:
                raise failure

        def stop(self) -> None:
            pass

    container = world.server_container()
    container.listeners.providers["memory"].override(providers.Callable(lambda *_, **__: FailingListener()))
    with anyio.fail_after(1):
        if failure is None:
            async with world.server(container=container):
                pass
        else:
            with pytest.raises(ListenError, match="taken meanwhile"):
                async with world.server(container=container):
                    pytest.fail("entered")


async def test_ingress_that_crashes_ends_the_server_and_says_why(world: World) -> None:
    ingress = door()
    cancelled = False
    with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012
        async with with_ingress(world, ingress) as server:
            ingress.crash.set()
            try:
                await server.wait_closed()
            except anyio.get_cancelled_exc_class():
                cancelled = True
                raise
    assert cancelled
    assert caught.group_contains(OSError, match="too many open files")
    assert is_free(world.network)


# -- leaving


class Unexpected(Exception):
    pass


async def test_exception_of_the_body_propagates_as_it_is(world: World) -> None:
    with pytest.raises(Unexpected):
        async with world.server():
            raise Unexpected
    with pytest.raises(Unexpected):  # noqa: PT012
        async with world.server(), world.client() as client:
            await client.ready()
            raise Unexpected
    with pytest.raises(Unexpected):
        async with world.client():
            raise Unexpected


async def test_leaving_cancels_conversations_on_both_sides(world: World) -> None:
    async def forever(stream: Stream) -> None:
        await stream.send(HttpResponse(200))
        await anyio.sleep_forever()

    for leave in ("client", "server"):
        upstream = FakeUpstream(forever)
        codes: list[ErrorCode] = []

        async def visit(server: Server, codes: list[ErrorCode] = codes) -> None:
            try:
                await server._target.handle(FakeStream(GET))
            except SessionError as exc:
                codes.append(exc.code)

        async with anyio.create_task_group() as tasks:
            server, client = world.server(), world.client(upstream)
            async with server:
                async with client:
                    await client.ready()
                    tasks.start_soon(visit, server)
                    await until(lambda upstream=upstream: upstream.running)
                    if leave == "server":
                        await server.aclose(drain_s=0)
                        await until(lambda upstream=upstream: not upstream.running, within_s=0.1)
                assert (upstream.running, upstream.closed) == (0, 1)
            await until(lambda codes=codes: codes, within_s=0.1)
            assert codes == [ErrorCode.PEER_LOST]


async def test_cancelling_the_body_leaves_both_sides(world: World) -> None:
    with anyio.move_on_after(5) as scope:
        async with world.server(), world.client() as client:
            await client.ready()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert is_free(world.network)


async def test_leaving_does_not_wait_for_a_silent_peer(world: World) -> None:
    async with world.server():
        async with world.client() as client:
            await client.ready()
            world.network.silence()
            before = anyio.current_time()
        assert anyio.current_time() - before < 3.5
        before = anyio.current_time()
    assert anyio.current_time() - before < 3.5


@pytest.mark.parametrize("phase", ["dialling", "registering", "backing off"])
async def test_client_can_be_left_at_any_time(world: World, phase: str) -> None:
    async def script(link: Link) -> None:
        await anyio.sleep_forever()

    if phase == "registering":
        async with ScriptedServer(world.network, script).running(), world.client():
            await anyio.sleep(1)
    else:
        async with world.client():
            await anyio.sleep(0 if phase == "dialling" else 10)


async def test_client_that_is_closed_while_it_registers_never_serves(world: World) -> None:
    served = Recorder()
    dialled = Recorder()
    async with world.server(telemetry=served) as server, world.client(telemetry=dialled) as client:
        await until(lambda: server.clients().clients or world.network.pairs())
        await client.aclose()
        await anyio.sleep(60)
        assert server.clients().clients == ()
        with pytest.raises(LinkError) as caught:
            await client.ready()
        assert LinkEnd.CLOSED is caught.value.end


# -- draining


async def test_draining_client_finishes_what_it_has_and_takes_no_more(world: World) -> None:
    async def slowly(stream: Stream) -> None:
        await anyio.sleep(3)
        await echo(stream)

    leaving, staying = FakeUpstream(slowly), FakeUpstream()
    dialled = Recorder()
    stream = FakeStream(GET)
    async with (
        world.server() as server,
        anyio.create_task_group() as tasks,
        world.client(leaving, client_id="one", telemetry=dialled) as one,
    ):
        await one.ready()
        tasks.start_soon(server._target.handle, stream)
        await until(lambda: leaving.running)
        async with world.client(staying, client_id="two") as two:
            await two.ready()
            tasks.start_soon(one.aclose)
            await anyio.sleep(0.01)
            assert [(await ask(server)).status for _ in range(5)] == [200] * 5
            assert (len(leaving.heads), len(staying.heads)) == (1, 5)
            before = anyio.current_time()
            await one.wait_closed()
            assert anyio.current_time() - before == pytest.approx(3, abs=0.2)
            assert stream.ended
    assert dialled.of(LinkLost) == []


async def test_draining_client_cuts_off_what_takes_longer(world: World) -> None:
    upstream = FakeUpstream(lambda stream: anyio.sleep_forever())
    async with world.server() as server, world.client(upstream) as client, anyio.create_task_group() as tasks:
        await client.ready()
        codes: list[ErrorCode] = []

        async def visit() -> None:
            try:
                await server._target.handle(FakeStream(GET))
            except SessionError as exc:
                codes.append(exc.code)

        tasks.start_soon(visit)
        await until(lambda: upstream.running)
        before = anyio.current_time()
        await client.aclose(drain_s=2)
        assert anyio.current_time() - before == pytest.approx(2, abs=0.1)
        await until(lambda: codes, within_s=0.1)
        assert (codes, upstream.running) == ([ErrorCode.PEER_LOST], 0)


async def test_requests_for_a_draining_client_wait_for_another(world: World) -> None:
    async with world.server(groups={"web": group(wait_for_client_s=5)}) as server, world.client() as one:
        await one.ready()
        await one.aclose()
        stream = FakeStream(GET)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server._target.handle, stream)
            await anyio.sleep(1)
            async with world.client(client_id="two") as two:
                await two.ready()
                await until(lambda: stream.ended, within_s=0.1)


async def test_draining_server_finishes_what_it_has(world: World) -> None:
    async def slowly(stream: Stream) -> None:
        await stream.send(HttpResponse(200))
        await anyio.sleep(3)
        await stream.send(BodyChunk(b"done", end=True))

    ingress = door()
    async with with_ingress(world, ingress) as server, world.client(FakeUpstream(slowly)) as client:
        await client.ready()
        stream = FakeStream(GET)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server._target.handle, stream)
            await until(lambda: stream.sent)
            before = anyio.current_time()
            await server.aclose()
            assert anyio.current_time() - before == pytest.approx(3, abs=0.2)
        assert (stream.body, ingress.drains) == (b"done", [10.0])
        await server.wait_closed()
        assert server.clients().clients == ()


async def test_draining_server_gives_new_requests_no_client(world: World) -> None:
    async def slowly(stream: Stream) -> None:
        await anyio.sleep(3)
        await echo(stream)

    async with world.pair(slowly) as server, anyio.create_task_group() as tasks:
        stream = FakeStream(GET)
        tasks.start_soon(server._target.handle, stream)
        await anyio.sleep(1)
        tasks.start_soon(server.aclose)
        await anyio.sleep(0.1)
        assert (await ask(server)).status == 503
        await until(lambda: stream.ended)


async def test_server_that_closed_is_dialled_again_when_it_is_back(world: World) -> None:
    dialled = Recorder()
    async with world.client(telemetry=dialled) as client:
        async with world.server():
            await client.ready()
        async with world.server() as server:
            await until(lambda: len(dialled.of(TunnelReady)) == 2)
            assert (await ask(server)).status == 200
    assert "the server shut down" in dialled.of(LinkLost)[0].reason


async def test_ingress_that_does_not_drain_does_not_hold_the_server_for_ever(world: World) -> None:
    ingress = door()
    ingress.stuck = True
    async with with_ingress(world, ingress) as server:
        before = anyio.current_time()
        await server.aclose(drain_s=2)
        assert anyio.current_time() - before < 5


async def test_client_that_does_not_drain_does_not_hold_the_server_for_ever(world: World) -> None:
    async with world.pair(lambda stream: anyio.sleep_forever()) as server, anyio.create_task_group() as tasks:

        async def visit() -> None:
            with pytest.raises(SessionError):
                await server._target.handle(FakeStream(GET))

        tasks.start_soon(visit)
        await anyio.sleep(0.1)
        before = anyio.current_time()
        await server.aclose(drain_s=2)
        assert anyio.current_time() - before < 5


@pytest.mark.parametrize("side", ["server", "client"])
async def test_closing_twice_and_from_several_tasks_is_the_same_as_once(world: World, side: str) -> None:
    async def slowly(stream: Stream) -> None:
        await anyio.sleep(3)
        await echo(stream)

    async with world.server() as server, world.client(FakeUpstream(slowly)) as client:
        await client.ready()
        closing = server if side == "server" else client
        stream = FakeStream(GET)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server._target.handle, stream)
            await anyio.sleep(0.1)
            before = anyio.current_time()
            for _ in range(3):
                tasks.start_soon(closing.aclose)
        assert stream.ended
        assert anyio.current_time() - before == pytest.approx(3, abs=0.3)
        await closing.aclose()
        await closing.wait_closed()


@pytest.mark.parametrize("side", ["server", "client"])
async def test_leaving_cuts_a_drain_of_another_task_short(world: World, side: str) -> None:
    async with anyio.create_task_group() as tasks:
        upstream = FakeUpstream(lambda stream: anyio.sleep_forever())
        async with world.server() as server, world.client(upstream) as client:
            await client.ready()

            async def visit() -> None:
                with pytest.raises(SessionError):
                    await server._target.handle(FakeStream(GET))

            tasks.start_soon(visit)
            await until(lambda: upstream.running)
            closing = server if side == "server" else client
            tasks.start_soon(closing.aclose)
            await anyio.sleep(0.1)
            before = anyio.current_time()
    assert anyio.current_time() - before < 5


async def test_losing_the_link_for_good_ends_a_drain(world: World) -> None:
    async def visit() -> None:
        with pytest.raises(SessionError):
            await server._target.handle(FakeStream(GET))

    handler = FakeUpstream(lambda stream: anyio.sleep_forever())
    async with world.pair(handler, resume_s=0) as server, anyio.create_task_group() as tasks:
        tasks.start_soon(visit)
        await anyio.sleep(0.1)
        tasks.start_soon(server.aclose)
        await anyio.sleep(0.1)
        before = anyio.current_time()
        world.network.sever()
        with anyio.fail_after(3):
            await server.wait_closed()
        assert anyio.current_time() - before < 3


async def test_drain_waits_as_long_as_load_balancers_need(world: World) -> None:
    async with world.server(drain_delay_s=4) as server:
        before = anyio.current_time()
        await server.aclose()
        assert 4 <= anyio.current_time() - before < 6


async def test_bug_while_a_frame_is_taken_in_costs_the_link_and_not_the_client(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    dialled = Recorder()
    async with world.server() as server, world.client(telemetry=dialled) as client:
        await client.ready()
        mux = client._lines.current.dialer._visit.tunnel.mux  # type: ignore[union-attr]
        monkeypatch.setattr(mux, "receive", lambda *_: 1 / 0)
        await until(lambda: len(dialled.of(TunnelReady)) == 2)
        assert (await ask(server)).status == 200
