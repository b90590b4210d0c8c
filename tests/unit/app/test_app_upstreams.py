"""The targets of upstreams: who is chosen, who is left out, and what one configuration takes over from another."""

from __future__ import annotations

import random
from typing import Any

import anyio
import msgspec
import pytest
from support.app_kit import FakeStream, FakeUpstream, Recorder, echo

from tunnel.adapters.clock import AnyioClock
from tunnel.app.container import ClientContainer
from tunnel.app.upstream_router import UpstreamRouter
from tunnel.domain.call_head import CallHead
from tunnel.domain.configuration import (
    EjectionSettings,
    GroupSnapshot,
    MiddlewareSettings,
    TargetPolicy,
    UpstreamSettings,
)
from tunnel.domain.envelopes import HttpRequest, HttpResponse, Opening
from tunnel.domain.errors import ConfigurationError, ErrorCode, SessionError
from tunnel.domain.rules.rule import Rule
from tunnel.ports.target import Stream
from tunnel.ports.telemetry import TargetEjected, TargetReturned

pytestmark = pytest.mark.anyio

GET = HttpRequest("GET", b"/", host=b"app.test", end=True)
A, B, C = "http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:3"
EJECTION = EjectionSettings(after_failures=3, base_s=10, slow_return_s=0)


async def hang(stream: Stream) -> None:
    await anyio.sleep_forever()


async def answer_and_hang(stream: Stream) -> None:
    await stream.send(HttpResponse(200))
    await hang(stream)


def failing(code: ErrorCode) -> Any:
    async def fail(stream: Stream) -> None:
        raise SessionError(code, "no")

    return fail


def answering(status: int) -> Any:
    async def answer(stream: Stream) -> None:
        await stream.send(HttpResponse(status, end=True))

    return answer


class Lab:
    """Makes routers, and targets that behave as told by URL; keeps each target made."""

    def __init__(self) -> None:
        self.policy = TargetPolicy(("127.0.0.0/8",))
        self.telemetry = Recorder()
        self.made: dict[str, list[FakeUpstream]] = {}
        self.background: list[Any] = []

    def router(
        self,
        *urls: str,
        previous: UpstreamRouter | None = None,
        policy: TargetPolicy | None = None,
        middleware: str = "",
        **settings: Any,
    ) -> UpstreamRouter:
        app = UpstreamSettings(**{"targets": urls, "balance": "round_robin", "ejection": EJECTION, **settings})
        tables = {middleware: MiddlewareSettings(use=middleware)} if middleware else {}
        rule = Rule(path_prefix="/", upstream="app", middleware=(*tables,))
        return UpstreamRouter(
            GroupSnapshot(rules=(rule,), upstreams={"app": app}, middleware=tables),
            policy or self.policy,
            self._make,
            random.Random(1),
            telemetry=self.telemetry,
            clock=AnyioClock(),
            kinds=ClientContainer.middleware,
            start=self.background.append,
            previous=previous,
        )

    def _make(self, url: str, settings: UpstreamSettings, policy: TargetPolicy) -> FakeUpstream:
        if url.endswith(":666"):
            raise LookupError(url)
        self.made.setdefault(url, []).append(FakeUpstream())
        return self.made[url][-1]

    def handle(self, url: str, handler: Any) -> None:
        self.made[url][-1].handler = handler

    def counts(self) -> dict[str, list[int]]:
        return {url: [len(each.heads) for each in targets] for url, targets in self.made.items()}

    def closed(self) -> dict[str, list[int]]:
        return {url: [each.closed for each in targets] for url, targets in self.made.items()}

    def events(self) -> list[object]:
        return self.telemetry.events


@pytest.fixture
def lab() -> Lab:
    return Lab()


async def visit(router: UpstreamRouter, times: int) -> list[ErrorCode | int]:
    outcomes: list[ErrorCode | int] = []
    for _ in range(times):
        stream = FakeStream(GET)
        try:
            await router.handle(stream)
        except SessionError as exc:
            outcomes.append(exc.code)
        else:
            assert stream.answer is not None
            outcomes.append(stream.answer.status)
    return outcomes


# -- ejection


@pytest.mark.parametrize("code", [ErrorCode.UPSTREAM_UNREACHABLE, ErrorCode.UPSTREAM_TIMEOUT])
async def test_target_that_cannot_be_had_is_ejected_and_tried_again(lab: Lab, code: ErrorCode) -> None:
    router = lab.router(A, B)
    lab.handle(A, failing(code))
    assert (await visit(router, 20)).count(code) == 3
    await anyio.sleep(10)
    assert (await visit(router, 10)).count(code) == 1
    lab.handle(A, echo)
    await anyio.sleep(20)
    assert await visit(router, 10) == [200] * 10
    assert lab.events() == [
        TargetEjected("app", A, code.value, 10),
        TargetEjected("app", A, code.value, 20),
        TargetReturned("app", A),
    ]


@pytest.mark.parametrize("code", [ErrorCode.CANCELLED, ErrorCode.PROTOCOL_ERROR, ErrorCode.REFUSED, ErrorCode.INTERNAL])
async def test_other_failures_do_not_eject_a_target(lab: Lab, code: ErrorCode) -> None:
    router = lab.router(A, B)
    lab.handle(A, failing(code))
    assert (await visit(router, 20)).count(code) == 10
    assert lab.events() == []


async def test_statuses_eject_a_target_only_when_configured(lab: Lab) -> None:
    router = lab.router(A, B)
    lab.handle(A, answering(503))
    assert (await visit(router, 20)).count(503) == 10
    router = lab.router(A, B, ejection=msgspec.structs.replace(EJECTION, statuses=(503,)))
    lab.handle(A, answering(503))
    assert (await visit(router, 20)).count(503) == 3
    await anyio.sleep(10)
    assert (await visit(router, 20)).count(503) == 1
    assert lab.events() == [TargetEjected("app", A, "status 503", 10), TargetEjected("app", A, "status 503", 20)]


async def test_only_target_is_never_ejected(lab: Lab) -> None:
    router = lab.router(A)
    lab.handle(A, failing(ErrorCode.UPSTREAM_UNREACHABLE))
    await visit(router, 10)
    assert lab.counts() == {A: [10]}


async def test_probe_of_a_target_counts_as_soon_as_it_is_answered(lab: Lab) -> None:
    router = lab.router(A, B)
    lab.handle(A, failing(ErrorCode.UPSTREAM_UNREACHABLE))
    await visit(router, 10)
    await anyio.sleep(10)
    lab.handle(A, answer_and_hang)
    async with anyio.create_task_group() as tasks:
        for _ in range(2):
            tasks.start_soon(router.handle, FakeStream(GET))
        await anyio.sleep(1)
        assert lab.events()[-1] == TargetReturned("app", A)
        tasks.cancel_scope.cancel()


async def test_conversations_under_way_are_counted_to_the_end(lab: Lab) -> None:
    router = lab.router(A, B)
    lab.handle(A, hang)
    lab.handle(B, failing(ErrorCode.PROTOCOL_ERROR))
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(visit, router, 2)
        await anyio.sleep(1)
        assert [each.in_flight for each in router._upstreams["app"].targets] == [3, 0]
        tasks.cancel_scope.cancel()
    assert [each.in_flight for each in router._upstreams["app"].targets] == [0, 0]


async def test_weights_of_targets_are_kept_to(lab: Lab) -> None:
    router = lab.router(A, B, balance="weighted", weights={A: 4})
    await visit(router, 50)
    assert lab.counts() == {A: [40], B: [10]}


# -- taking over


async def test_target_that_stays_keeps_its_connections_and_is_closed_with_the_last_router(lab: Lab) -> None:
    old = lab.router(A, B)
    new = lab.router(C, A, previous=old)
    assert {url: len(targets) for url, targets in lab.made.items()} == {A: 1, B: 1, C: 1}
    await old.aclose()
    assert lab.closed() == {A: [0], B: [1], C: [0]}
    assert await visit(new, 4) == [200] * 4
    await new.aclose()
    assert lab.closed() == {A: [1], B: [1], C: [1]}


async def test_router_that_is_given_up_leaves_the_one_before_as_it_was(lab: Lab) -> None:
    old = lab.router(A, B)
    await lab.router(A, C, previous=old).aclose()
    assert lab.closed() == {A: [0], B: [0], C: [1]}
    assert await visit(old, 4) == [200] * 4
    await old.aclose()
    assert lab.closed() == {A: [1], B: [1], C: [1]}


async def test_nothing_is_taken_over_when_the_router_cannot_be_made(lab: Lab) -> None:
    old = lab.router(A)
    with pytest.raises(ConfigurationError):
        lab.router(A, "http://10.0.0.1:1", previous=old)
    with pytest.raises(LookupError):
        lab.router(A, "http://127.0.0.1:666", previous=old)
    with pytest.raises(ConfigurationError, match="unheard-of"):
        lab.router(A, middleware="unheard-of", previous=old)
    await old.aclose()
    assert lab.closed()[A] == [1]


async def test_target_that_was_made_in_vain_is_closed(lab: Lab) -> None:
    old = lab.router(A)
    with pytest.raises(LookupError):
        lab.router(A, B, C, "http://127.0.0.1:666", previous=old)
    for work in lab.background:
        await work()
    assert lab.closed() == {A: [0], B: [1], C: [1]}
    await old.aclose()


async def test_chain_of_routers_closes_each_target_once(lab: Lab) -> None:
    routers = [lab.router(A)]
    for urls in ((A, B), (A, C), (C,)):
        routers.append(lab.router(*urls, previous=routers[-1]))
    for router in routers:
        await router.aclose()
        await router.aclose()
    assert lab.closed() == {A: [1], B: [1], C: [1]}


@pytest.mark.parametrize(
    "settings", [{"connect_timeout_s": 1}, {"keepalive_s": 1}, {"host_header": "target"}, {"first_byte_timeout_s": 1}]
)
async def test_target_that_is_dialled_otherwise_is_another(lab: Lab, settings: dict[str, Any]) -> None:
    old = lab.router(A)
    new = lab.router(A, previous=old, **settings)
    await old.aclose()
    assert lab.closed() == {A: [1, 0]}
    await new.aclose()


@pytest.mark.parametrize(
    "settings",
    [{"balance": "least_sessions"}, {"balance": "weighted", "weights": {A: 2}}, {"ejection": EjectionSettings()}],
)
async def test_target_that_is_only_chosen_otherwise_is_the_same(lab: Lab, settings: dict[str, Any]) -> None:
    old = lab.router(A, B)
    new = lab.router(A, B, previous=old, **settings)
    await old.aclose()
    assert lab.closed() == {A: [0], B: [0]}
    await new.aclose()


async def test_target_is_another_when_something_else_may_be_dialled(lab: Lab) -> None:
    old = lab.router(A)
    new = lab.router(A, previous=old, policy=TargetPolicy(("127.0.0.0/8",)))
    await old.aclose()
    assert lab.closed() == {A: [1, 0]}
    await new.aclose()


async def test_conversation_of_the_old_router_goes_on_and_counts_in_the_new(lab: Lab) -> None:
    old = lab.router(A, B)
    lab.handle(A, hang)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(old.handle, FakeStream(GET))
        await anyio.sleep(1)
        new = lab.router(A, B, previous=old, balance="least_sessions")
        await old.aclose()
        assert [each.in_flight for each in new._upstreams["app"].targets] == [1, 0]
        await visit(new, 5)
        assert lab.counts() == {A: [1], B: [5]}
        tasks.cancel_scope.cancel()
    assert [each.in_flight for each in new._upstreams["app"].targets] == [0, 0]


@pytest.mark.parametrize("settings", [{}, {"keepalive_s": 1}])
async def test_health_of_targets_survives(lab: Lab, settings: dict[str, Any]) -> None:
    old = lab.router(A, B)
    lab.handle(A, failing(ErrorCode.UPSTREAM_UNREACHABLE))
    await visit(old, 10)
    new = lab.router(B, A, previous=old, **settings)
    lab.handle(A, failing(ErrorCode.UPSTREAM_UNREACHABLE))
    assert await visit(new, 10) == [200] * 10
    await anyio.sleep(10)
    assert (await visit(new, 10)).count(ErrorCode.UPSTREAM_UNREACHABLE) == 1


async def test_what_ends_in_the_old_router_is_known_in_the_new(lab: Lab) -> None:
    old = lab.router(A, B)
    new = lab.router(A, B, previous=old)
    await visit(new, 2)
    lab.handle(A, failing(ErrorCode.UPSTREAM_UNREACHABLE))
    await visit(old, 6)
    assert await visit(new, 10) == [200] * 10


# -- closing


async def test_every_target_is_closed_even_if_some_cannot_be(lab: Lab) -> None:
    router = lab.router(A, B, C)

    async def fail() -> None:
        raise RuntimeError("stuck")

    for url in (A, C):
        lab.made[url][0].aclose = fail  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="stuck"):
        await router.aclose()
    assert lab.made[B][0].closed == 1
    await router.aclose()


CALL = CallHead("s.S", "M", host=b"app.test").frame()


@pytest.mark.parametrize(
    ("target", "head", "only"),
    [
        ("grpc://127.0.0.1:1", GET, "gRPC calls"),
        ("grpcs://127.0.0.1:1", GET, "gRPC calls"),
        (A, CALL, "HTTP and WebSocket"),
        ("https://127.0.0.1:1", CALL, "HTTP and WebSocket"),
    ],
)
async def test_what_the_upstream_of_a_route_does_not_answer_has_no_route(
    lab: Lab, target: str, head: Opening, only: str
) -> None:
    router = lab.router(target)
    with pytest.raises(SessionError, match=f"answers {only} only") as caught:
        await router.handle(FakeStream(head))
    assert caught.value.code is ErrorCode.ROUTE_NOT_FOUND
    await router.aclose()
