"""Clients that fail are left out for a while, and come back slowly. Counted for each client."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import anyio
import msgspec
import pytest
from support.app_kit import FakeStream, FakeUpstream, Recorder, World, echo, group, until

from tunnel.app.server import Server
from tunnel.domain.configuration import EjectionSettings
from tunnel.domain.envelopes import HttpRequest, HttpResponse
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.health import HealthState
from tunnel.ports.target import Stream
from tunnel.ports.telemetry import MemberEjected, MemberReturned

pytestmark = pytest.mark.anyio

GET = HttpRequest("GET", b"/", host=b"app.test", end=True)
EMPTY_POST = HttpRequest("POST", b"/", host=b"app.test", end=True)
SETTINGS = group(
    balance="round_robin", ejection=EjectionSettings(after_failures=3, base_s=10, max_s=60, slow_return_s=20)
)


class Moody:
    """A handler that answers, fails, refuses or hangs, as it is told."""

    def __init__(self) -> None:
        self.mood: Callable[[Stream], Any] = echo

    async def __call__(self, stream: Stream) -> None:
        await self.mood(stream)

    def fail(self, code: ErrorCode = ErrorCode.UPSTREAM_UNREACHABLE) -> None:
        async def fail(stream: Stream) -> None:
            raise SessionError(code, "in no mood")

        self.mood = fail

    def answer(self, status: int) -> None:
        async def answer(stream: Stream) -> None:
            await stream.send(HttpResponse(status, end=True))

        self.mood = answer

    def hang(self, *, after_answering: bool = False) -> None:
        async def hang(stream: Stream) -> None:
            if after_answering:
                await stream.send(HttpResponse(200))
            await anyio.sleep_forever()

        self.mood = hang


class Fleet:
    """A server and its clients ``client-0`` and so on."""

    def __init__(self, server: Server, telemetry: Recorder, moods: list[Moody], upstreams: list[FakeUpstream]) -> None:
        self.server = server
        self.telemetry = telemetry
        self.moods = moods
        self.upstreams = upstreams

    async def visit(self, times: int = 1, *, head: HttpRequest = GET) -> list[int]:
        """Make requests one after the other; how many of them each client got."""
        before = [len(each.heads) for each in self.upstreams]
        for _ in range(times):
            await self.request(head)
        return [len(each.heads) - count for each, count in zip(self.upstreams, before, strict=True)]

    async def request(self, head: HttpRequest = GET) -> ErrorCode | int:
        stream = FakeStream(head)
        try:
            await self.server._target.handle(stream)
        except SessionError as exc:
            return exc.code
        assert stream.answer is not None
        return stream.answer.status

    def health(self, number: int) -> HealthState:
        """As the status page shows it."""
        [record] = [each for each in self.server.clients().clients if each.client_id == f"client-{number}"]
        return record.health

    def events(self) -> list[object]:
        return [each for each in self.telemetry.events if isinstance(each, MemberEjected | MemberReturned)]


@asynccontextmanager
async def fleet(world: World, count: int, settings: Any = SETTINGS, **limits: Any) -> Any:
    telemetry = Recorder()
    moods = [Moody() for _ in range(count)]
    upstreams = [FakeUpstream(mood) for mood in moods]
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(world.server(groups={"web": settings}, telemetry=telemetry, **limits))
        for number, upstream in enumerate(upstreams):
            client = world.client(upstream, client_id=f"client-{number}")
            await (await stack.enter_async_context(client)).ready()
        yield Fleet(server, telemetry, moods, upstreams)


async def test_failing_client_is_ejected_tried_ejected_for_longer_and_returns_slowly(world: World) -> None:
    async with fleet(world, 3) as it:
        assert await it.visit(30) == [10, 10, 10]
        it.moods[1].fail()
        assert await it.visit(60) == [29, 3, 28]
        assert it.health(1) is HealthState.EJECTED
        # Until the time is over nothing goes there; then one request does, and fails.
        await anyio.sleep(9)
        assert await it.visit(30) == [15, 0, 15]
        await anyio.sleep(1)
        assert (await it.visit(30))[1] == 1
        await anyio.sleep(19)
        assert (await it.visit(30))[1] == 0
        # Tried again when it is well: it returns.
        it.moods[1].mood = echo
        await anyio.sleep(1)
        shares = []
        for _ in range(3):
            shares.append((await it.visit(90))[1] / 30)
            await anyio.sleep(10)
        assert 0 < shares[0] < 0.3
        assert 0.3 < shares[1] < 0.8
        assert shares == sorted(shares)
        assert shares[-1] == 1
        assert it.health(1) is HealthState.HEALTHY
        ejected = [MemberEjected("web", "laptop/client-1", "upstream_unreachable", length) for length in (10, 20)]
        assert it.events() == [*ejected, MemberReturned("web", "laptop/client-1")]


async def test_only_client_is_never_ejected(world: World) -> None:
    async with fleet(world, 1) as it:
        it.moods[0].fail()
        assert await it.visit(20) == [20]
        it.moods[0].mood = echo
        assert await it.request() == 200
        assert it.events() == []


async def test_no_more_than_half_of_the_clients_are_ejected(world: World) -> None:
    async with fleet(world, 4) as it:
        for mood in it.moods:
            mood.fail()
        await it.visit(100)
        assert len(it.events()) == 2


async def test_all_clients_are_used_when_all_are_ejected(world: World) -> None:
    ejection = EjectionSettings(after_failures=3, max_ejected_percent=100)
    async with fleet(world, 3, group(balance="round_robin", ejection=ejection)) as it:
        for mood in it.moods:
            mood.fail()
        await it.visit(9)
        assert [it.health(number) for number in range(3)] == [HealthState.EJECTED] * 3
        assert min(await it.visit(30)) >= 9
        # One that is well again is found at once, and takes everything that the others would fail.
        it.moods[2].mood = echo
        await it.visit(3)
        assert await it.visit(10) == [0, 0, 10]


@pytest.mark.parametrize(
    "code", [ErrorCode.BAD_REQUEST, ErrorCode.TOO_LARGE, ErrorCode.CANCELLED, ErrorCode.OVERLOADED, ErrorCode.REFUSED]
)
async def test_what_is_not_the_clients_failure_does_not_eject(world: World, code: ErrorCode) -> None:
    async with fleet(world, 2) as it:
        it.moods[0].fail(code)
        await it.visit(20)
        assert it.events() == []
        # Nor does it end a row of failures.
        it.moods[0].fail()
        await it.visit(4)
        it.moods[0].fail(code)
        await it.visit(4)
        it.moods[0].fail()
        await it.visit(2)
        assert len(it.events()) == 1


@pytest.mark.parametrize("code", [ErrorCode.UPSTREAM_TIMEOUT, ErrorCode.INTERNAL, ErrorCode.PROTOCOL_ERROR])
async def test_what_is_the_clients_failure_ejects(world: World, code: ErrorCode) -> None:
    async with fleet(world, 2) as it:
        it.moods[0].fail(code)
        await it.visit(20)
        assert it.events() == [MemberEjected("web", "laptop/client-0", code.value, 10)]


async def test_statuses_are_failures_when_configured(world: World) -> None:
    ejection = EjectionSettings(after_failures=3, statuses=(502, 503))
    async with fleet(world, 2, group(balance="round_robin", ejection=ejection)) as it:
        it.moods[0].answer(500)
        await it.visit(20)
        assert it.events() == []
        it.moods[0].answer(503)
        await it.visit(20)
        assert it.events() == [MemberEjected("web", "laptop/client-0", "status 503", 10)]


async def test_nobody_is_ejected_when_that_is_off(world: World) -> None:
    off = group(balance="round_robin", ejection=EjectionSettings(after_failures=0))
    async with fleet(world, 2, off) as it:
        it.moods[0].fail()
        assert await it.visit(40) == [20, 20]


async def test_client_that_dials_again_is_still_ejected(world: World) -> None:
    async with fleet(world, 1) as it:
        failing = FakeUpstream(it.moods[0])
        mood = Moody()
        mood.fail()
        failing.handler = mood
        async with world.client(failing, client_id="client-1") as client:
            await client.ready()
            await it.visit(10)
            assert it.health(1) is HealthState.EJECTED
        async with world.client(FakeUpstream(echo), client_id="client-1") as client:
            await client.ready()
            assert it.health(1) is HealthState.EJECTED
            assert await it.visit(10) == [10]


async def test_lost_tunnel_is_one_failure_however_many_requests_it_took_along(world: World) -> None:
    hanging = Moody()
    hanging.hang()
    async with fleet(world, 2) as it, anyio.create_task_group() as tasks:
        for lost in range(3):
            upstream = FakeUpstream(hanging)
            async with world.client(upstream, client_id="client-9") as client:
                await client.ready()
                for _ in range(30):
                    tasks.start_soon(it.request, EMPTY_POST)
                await until(lambda upstream=upstream: upstream.running == 10)
            assert len(it.events()) == (lost == 2)


async def test_probe_whose_visitor_leaves_makes_room_for_the_next(world: World) -> None:
    async with fleet(world, 2) as it:
        it.moods[0].fail()
        await it.visit(10)
        await anyio.sleep(10)
        it.moods[0].hang()
        for _ in range(3):
            with anyio.move_on_after(1):
                assert await it.visit(2) == []
            assert it.health(0) is HealthState.EJECTED
        assert await it.visit(0) == [0, 0]
        it.moods[0].mood = echo
        await it.visit(2)
        assert it.health(0) is HealthState.RETURNING


async def test_probe_counts_as_soon_as_it_is_answered(world: World) -> None:
    async with fleet(world, 2) as it, anyio.create_task_group() as tasks:
        it.moods[0].fail()
        await it.visit(10)
        await anyio.sleep(10)
        it.moods[0].hang(after_answering=True)
        before = len(it.upstreams[0].heads)
        for _ in range(2):
            tasks.start_soon(it.request)
        await until(lambda: it.health(0) is HealthState.RETURNING, within_s=1)
        assert len(it.upstreams[0].heads) == before + 1
        tasks.cancel_scope.cancel()


async def test_requests_under_way_are_counted_to_the_end_whatever_becomes_of_them(world: World) -> None:
    async with fleet(world, 3) as it:
        it.moods[0].fail()
        it.moods[1].hang()
        with anyio.move_on_after(5):
            async with anyio.create_task_group() as tasks:
                for _ in range(20):
                    tasks.start_soon(it.request)
        roster = it.server._registry.roster("web")
        await until(lambda: all(member.in_flight == 0 for member in roster.candidates), within_s=1)
        assert all(client.in_flight == 0 for client in it.server.clients().clients)


async def test_health_survives_a_reload(world: World) -> None:
    async with fleet(world, 2) as it:
        it.moods[0].fail()
        await it.visit(10)
        assert it.health(0) is HealthState.EJECTED
        changed = msgspec.structs.replace(SETTINGS, balance="least_sessions")
        await it.server.reload(msgspec.structs.replace(it.server.settings, groups={"web": changed}))
        assert it.health(0) is HealthState.EJECTED
        assert await it.visit(10) == [0, 10]
        off = msgspec.structs.replace(changed, ejection=EjectionSettings(after_failures=0))
        await it.server.reload(msgspec.structs.replace(it.server.settings, groups={"web": off}))
        assert (await it.visit(20))[0] > 0


async def test_weights_follow_a_reload(world: World) -> None:
    weighted = msgspec.structs.replace(SETTINGS, balance="weighted", weights={"client-0": 3})
    async with fleet(world, 2, weighted) as it:
        assert await it.visit(40) == [30, 10]
        other = msgspec.structs.replace(weighted, weights={"client-1": 4})
        await it.server.reload(msgspec.structs.replace(it.server.settings, groups={"web": other}))
        assert await it.visit(40) == [8, 32]


async def test_same_visitor_keeps_its_client_until_it_is_ejected(world: World) -> None:
    sticky = msgspec.structs.replace(SETTINGS, balance="consistent_hash", hash_on="header:x-user")
    alice = HttpRequest("GET", b"/", host=b"app.test", headers=(b"x-user", b"alice"), end=True)
    async with fleet(world, 3, sticky) as it:
        got = await it.visit(12, head=alice)
        assert sorted(got) == [0, 0, 12]
        hers = got.index(12)
        it.moods[hers].fail()
        got = await it.visit(30, head=alice)
        assert sorted(got) == [0, 3, 27]
        it.moods[hers].mood = echo
        await anyio.sleep(10)
        await it.visit(1, head=alice)
        await anyio.sleep(20)
        assert (await it.visit(10, head=alice))[hers] == 10
