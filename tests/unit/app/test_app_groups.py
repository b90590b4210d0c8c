"""Choosing a client: balancing, and waiting for one."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import anyio
import pytest
from support.app_kit import OTHER_TOKEN, FakeStream, FakeUpstream, World, ask, echo, group, until

from tunnel.app.server import Server
from tunnel.domain.envelopes import HttpRequest
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.ports.target import Stream

pytestmark = pytest.mark.anyio

GET = HttpRequest("GET", b"/", host=b"app.test", end=True)


async def test_round_robin_gives_every_client_the_same(world: World) -> None:
    first, second, third = FakeUpstream(), FakeUpstream(), FakeUpstream()
    async with (
        world.server(groups={"web": group(balance="round_robin")}) as server,
        world.client(first, client_id="one") as one,
        world.client(second, client_id="two") as two,
        world.client(third, client_id="three") as three,
    ):
        for client in (one, two, three):
            await client.ready()
        for _ in range(30):
            assert (await ask(server)).status == 200
    assert [len(each.heads) for each in (first, second, third)] == [10, 10, 10]


async def test_power_of_two_spreads_requests_under_way(world: World) -> None:
    async def linger(stream: Stream) -> None:
        await anyio.sleep(1)
        await echo(stream)

    upstreams = [FakeUpstream(linger) for _ in range(3)]
    async with (
        world.server() as server,
        world.client(upstreams[0], client_id="one") as one,
        world.client(upstreams[1], client_id="two") as two,
        world.client(upstreams[2], client_id="three", token=OTHER_TOKEN) as three,
    ):
        for client in (one, two, three):
            await client.ready()
        async with anyio.create_task_group() as tasks:
            for _ in range(90):
                tasks.start_soon(ask, server)
    for upstream in upstreams:
        assert 20 <= len(upstream.heads) <= 40


async def test_clients_of_another_group_get_none_of_the_requests(world: World) -> None:
    web, api = FakeUpstream(), FakeUpstream()
    async with (
        world.server() as server,
        world.client(web, client_id="one") as one,
        world.client(api, client_id="two", group="api") as two,
    ):
        await one.ready()
        await two.ready()
        for _ in range(5):
            await ask(server, host="app.test")
        for _ in range(3):
            await ask(server, host="api.test")
    assert (len(web.heads), len(api.heads)) == (5, 3)


async def test_several_targets_of_an_upstream_are_balanced_by_the_client(world: World) -> None:
    from dependency_injector import providers

    from tunnel.domain.configuration import UpstreamSettings

    counts: Counter[str] = Counter()

    def make(url: str, *_: object) -> FakeUpstream:
        async def handle(stream: Stream) -> None:
            counts[url] += 1
            await echo(stream)

        return FakeUpstream(handle)

    urls = ("http://127.0.0.1:1", "http://127.0.0.1:2")
    settings = group(upstreams={"app": UpstreamSettings(targets=urls, balance="round_robin")})
    container = world.client_container()
    container.targets.providers["http"].override(providers.Callable(make))
    async with world.server(groups={"web": settings}) as server, world.client(container=container) as client:
        await client.ready()
        for _ in range(10):
            assert (await ask(server)).status == 200
    assert dict.fromkeys(urls, 5) == counts


# -- waiting


async def test_request_without_a_client_fails_at_once_unless_told_to_wait(world: World) -> None:
    async with world.server() as server:
        before = anyio.current_time()
        answer = await ask(server)
        assert anyio.current_time() - before < 0.01
    assert answer.status == 503
    assert b"retry-after" in dict(answer.headers)


async def test_request_waits_for_a_client_to_arrive(world: World) -> None:
    async with world.server(groups={"web": group(wait_for_client_s=5)}) as server:
        answers = []

        async def visit() -> None:
            answers.append((await ask(server, body=b"x")).body)

        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(visit)
            await anyio.sleep(4)
            async with world.client() as client:
                await client.ready()
                await until(lambda: len(answers) == 10, within_s=0.1)
        assert answers == [b"x"] * 10


async def test_request_waits_no_longer_than_configured(world: World) -> None:
    async with world.server(groups={"web": group(wait_for_client_s=5)}) as server:
        before = anyio.current_time()
        assert (await ask(server)).status == 503
        assert anyio.current_time() - before == pytest.approx(5, abs=0.01)


async def test_requests_beyond_max_waiting_are_overloaded_at_once(world: World) -> None:
    async with world.server(groups={"web": group(wait_for_client_s=5, max_waiting=3)}) as server:
        codes: list[ErrorCode] = []

        async def visit() -> None:
            try:
                await server._target.handle(FakeStream(GET))
            except SessionError as exc:
                codes.append(exc.code)

        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(visit)
            await anyio.sleep(0.01)
            assert codes == [ErrorCode.OVERLOADED] * 2
        assert codes == [ErrorCode.OVERLOADED] * 2 + [ErrorCode.NO_CLIENT] * 3
        # Those who gave up have left the queue.
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(visit)
        assert codes[-3:] == [ErrorCode.NO_CLIENT] * 3


@asynccontextmanager
async def full_clients(world: World, *also: Callable[[Stream], Awaitable[None]]) -> AsyncIterator[Server]:
    """A server whose first client has as many conversations as it takes; ``also`` are the upstreams of others."""
    release = anyio.Event()

    async def wait(stream: Stream) -> None:
        await release.wait()
        await echo(stream)

    async with AsyncExitStack() as stack:
        settings = group(wait_for_client_s=60, balance="round_robin")
        server = await stack.enter_async_context(world.server(groups={"web": settings}))
        for number, handle in enumerate((wait, *also)):
            client = world.client(FakeUpstream(handle), client_id=f"client-{number}", max_sessions=1)
            await (await stack.enter_async_context(client)).ready()
        busy = FakeStream(GET)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server._target.handle, busy)
            await anyio.sleep(0.01)
            yield server
            release.set()
        assert busy.ended


async def overloaded_at_once(server: Server) -> None:
    before = anyio.current_time()
    with pytest.raises(SessionError) as caught:
        await server._target.handle(FakeStream(GET))
    assert caught.value.code is ErrorCode.OVERLOADED
    assert anyio.current_time() - before < 0.01


async def test_request_for_clients_that_take_no_more_is_overloaded_at_once(world: World) -> None:
    async with full_clients(world) as server:
        await overloaded_at_once(server)


async def test_request_is_overloaded_when_one_client_has_no_room_and_another_refuses(world: World) -> None:
    async def refuse(stream: Stream) -> None:
        raise SessionError(ErrorCode.REFUSED, "not now")

    # Asked in either order.
    async with full_clients(world, refuse) as server:
        for _ in range(2):
            await overloaded_at_once(server)


async def test_visitor_that_leaves_the_queue_makes_room_in_it(world: World) -> None:
    async with world.server(groups={"web": group(wait_for_client_s=5, max_waiting=1)}) as server:
        for _ in range(3):
            with anyio.move_on_after(1), pytest.raises(anyio.get_cancelled_exc_class()):
                await server._target.handle(FakeStream(GET))
