"""The scenarios that show the rules of ingresses."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import anyio
from hypothesis import strategies as st

from tunnel.domain.envelopes import GrpcFrame, HttpRequest, TcpOpen
from tunnel.domain.errors import ListenError
from tunnel.ports.ingress import Ingress
from tunnel.testing.holdings import Holdings
from tunnel.testing.ingress import rules
from tunnel.testing.ingress.harness import IngressHarness, VisitFailed, Visitor
from tunnel.testing.ingress.rules import INGRESS
from tunnel.testing.ingress.scripts import ScriptedTarget
from tunnel.testing.patience import PATIENCE_S, expect_within, until

__all__: list[str] = []

_GRACE_S = 0.1
_LONG_S = 60.0


_RELEASE_S = 1.5
"""Longest that the system takes to take back what was released."""


class _Service:
    """An ingress that serves in a task of its own, and its visitors."""

    def __init__(self, harness: IngressHarness, ingress: Ingress) -> None:
        self._harness = harness
        self._visitors: list[Visitor] = []
        self.ingress = ingress
        self.target = ScriptedTarget(harness.dialect)
        self.scope = anyio.CancelScope()
        self.starts = 0
        self.over = anyio.Event()

    async def run(self) -> None:
        try:
            with self.scope:
                await self.ingress.serve(self.target, self._started)
        finally:
            self.over.set()

    def _started(self) -> None:
        self.starts += 1

    async def visit(self) -> Visitor:
        visitor = await expect_within("a visit", lambda: self._harness.visit(self.ingress.address))
        self._visitors.append(visitor)
        return visitor

    async def returned(self, within_s: float = PATIENCE_S) -> None:
        await expect_within("`serve` returning", self.over.wait, within_s)

    async def all_leave(self) -> None:
        for visitor in self._visitors:
            await visitor.leave()


@asynccontextmanager
async def _serving(harness: IngressHarness, ingress: Ingress | None = None) -> AsyncIterator[_Service]:
    """An ingress that has started; it is cancelled in the end, if it still serves."""
    service = _Service(harness, ingress or harness.ingress())
    service.ingress.bind()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(service.run)
        try:
            await until("having started", lambda: service.starts > 0)
            yield service
            await service.all_leave()
        finally:
            with anyio.CancelScope(shield=True):
                service.scope.cancel()
                await service.returned(2 * PATIENCE_S)


async def _answer(visitor: Visitor) -> bytes:
    """All of the answer, which must be whole."""

    async def hear_all() -> bytes:
        heard = b""
        while (piece := await visitor.hear()) is not None:
            heard += piece
        return heard

    return await expect_within("the end of an answer", hear_all, 2 * PATIENCE_S)


async def _echoed(service: _Service, pieces: list[bytes]) -> None:
    visitor = await service.visit()

    async def say_all() -> None:
        for piece in pieces:
            await visitor.say(piece)
        await visitor.end()

    heard = b""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(say_all)
        heard = await _answer(visitor)
    said = b"".join(pieces)
    assert heard == said, f"{len(heard)} bytes were heard of {len(said)}, or others"


async def _talk(visitor: Visitor, said: bytes) -> None:
    """Say something to an echo and hear it."""

    async def hear() -> bytes:
        heard = b""
        while len(heard) < len(said):
            piece = await visitor.hear()
            assert piece is not None, "the answer ended early"
            heard += piece
        return heard

    await visitor.say(said)
    heard = await expect_within("an echo", hear)
    assert heard == said, f"{heard!r} was heard instead of {said!r}"


async def _failed(what: str, action: Callable[[], Awaitable[object]]) -> None:
    try:
        result = await expect_within(what, action)
    except VisitFailed:
        return
    raise AssertionError(f"{what}: there was {result!r} instead")


async def _refused(harness: IngressHarness, address: str) -> None:
    """Nobody is served at ``address``, whoever listens there for the system."""

    async def visit() -> bytes:
        visitor = await harness.visit(address)
        try:
            await visitor.end()
            return await _answer(visitor)
        finally:
            await visitor.leave()

    await _failed("being turned away", visit)


@INGRESS.shows(rules.BIND)
async def addresses_are_real(harness: IngressHarness) -> None:
    ingress = harness.ingress()
    ingress.bind()
    address = ingress.address
    assert not address.endswith(":0"), f"{address} is not a real address"
    ingress.bind()
    assert ingress.address == address, "bound again, it is elsewhere"
    try:
        second = harness.ingress(address)
        second.bind()
    except ListenError:
        pass
    else:
        raise AssertionError(f"{address} was taken twice")
    finally:
        ingress.drain(0)


@INGRESS.shows(rules.STARTED)
async def started_means_that_it_answers(harness: IngressHarness) -> None:
    async with _serving(harness) as service:
        await _echoed(service, [b"x"])
        service.ingress.drain(0)
        await service.returned()
    assert service.starts == 1, f"it started {service.starts} times"


@INGRESS.shows(rules.UNUSED)
async def drained_early_it_serves_nobody(harness: IngressHarness) -> None:
    ingress = harness.ingress()
    ingress.bind()
    ingress.drain(_LONG_S)
    successor = harness.ingress(ingress.address)
    successor.bind()
    successor.drain(0)
    started = False

    def start() -> None:
        nonlocal started
        started = True

    await expect_within("`serve` returning", lambda: ingress.serve(ScriptedTarget(harness.dialect), start))
    assert not started, "it started though it was drained"


@INGRESS.shows(rules.HEAD)
async def conversations_say_what_they_are(harness: IngressHarness) -> None:
    async with _serving(harness) as service:
        await _echoed(service, [b"x"])
        (stream,) = service.target.streams
    head = stream.head
    protocol = head.protocol if isinstance(head, HttpRequest) else _PROTOCOLS[type(head)]
    assert protocol == harness.dialect.protocol, f"it says that it is {protocol}"
    assert stream.peer == harness.peer, f"it says that it comes from {stream.peer!r}"


_PROTOCOLS: dict[type, str] = {GrpcFrame: "grpc", TcpOpen: "tcp"}

_sizes = st.lists(st.integers(1, 300) | st.sampled_from([1, 65_535, 65_536, 100_000]), min_size=1, max_size=6)


@INGRESS.shows(rules.WHOLE, drawn=_sizes)
async def everything_said_is_heard(harness: IngressHarness, sizes: list[int]) -> None:
    async with _serving(harness) as service, anyio.create_task_group() as tasks:
        for turn in range(3):
            pieces = [bytes([number + 10 * turn]) * size for number, size in enumerate(sizes)]
            tasks.start_soon(_echoed, service, pieces)


@INGRESS.shows(rules.STREAMS)
async def talk_goes_back_and_forth(harness: IngressHarness) -> None:
    async with _serving(harness) as service:
        visitor = await service.visit()
        for number in range(5):
            await _talk(visitor, b"number %d" % number)
        await visitor.end()
        assert await _answer(visitor) == b"", "more was heard than was said"


@INGRESS.shows(rules.FAILS)
async def failures_are_told_to_whom_they_concern(harness: IngressHarness) -> None:
    async with _serving(harness) as service:
        neighbour = await service.visit()
        await _talk(neighbour, b"before")
        service.target.script = service.target.fail
        visitor = await service.visit()
        await visitor.end()
        await _failed("being told of the failure", lambda: _answer(visitor))
        service.target.script = service.target.echo
        await _talk(neighbour, b"after")
        await _echoed(service, [b"as before"])


@INGRESS.shows(rules.CUT)
async def what_was_not_ended_is_cut_off(harness: IngressHarness) -> None:
    async with _serving(harness) as service:
        service.target.script = service.target.cut
        visitor = await service.visit()
        await visitor.end()
        await _failed("being cut off", lambda: _answer(visitor))


def _cancelled_beyond(target: ScriptedTarget, before: int) -> bool:
    return target.cancelled > before


@INGRESS.shows(rules.LEAVE)
async def leaving_cancels_the_target(harness: IngressHarness) -> None:
    async with _serving(harness) as service:
        for script in (service.target.echo, service.target.deaf):
            service.target.script = script
            before = service.target.cancelled
            visitor = await service.visit()
            await visitor.say(b"x")
            await until("a conversation", lambda: service.target.running == 1)
            if script == service.target.echo:
                await expect_within("an echo", visitor.hear)
            await visitor.leave()
            await until("the target being cancelled", partial(_cancelled_beyond, service.target, before))


async def _stuck(harness: IngressHarness, moved_bytes: Callable[[], int]) -> None:
    """Return when nothing moves any more, or too much has."""
    last = -1
    while last != moved_bytes() and moved_bytes() <= 2 * harness.buffered_bytes:
        last = moved_bytes()
        await anyio.sleep(harness.quiet_s)


@INGRESS.shows(rules.SLOW)
async def visitors_that_do_not_listen_make_targets_wait(harness: IngressHarness) -> None:
    async with _serving(harness) as service:
        service.target.script = service.target.flood
        visitor = await service.visit()
        await visitor.end()
        await until("a flood", lambda: service.target.said_bytes > 0)
        await _stuck(harness, lambda: service.target.said_bytes)
        said = service.target.said_bytes
        assert said <= harness.buffered_bytes, f"{said} bytes were taken that nobody listened to"

        async def more() -> None:
            while service.target.said_bytes <= said + harness.buffered_bytes:
                await visitor.hear()

        await expect_within("more of the flood", more, 2 * PATIENCE_S)


@INGRESS.shows(rules.DEAF)
async def targets_that_do_not_listen_make_visitors_wait(harness: IngressHarness) -> None:
    async with _serving(harness) as service:
        service.target.script = service.target.deaf
        visitor = await service.visit()
        said_bytes = 0

        async def speak() -> None:
            nonlocal said_bytes
            while True:
                await visitor.say(bytes(16 * 1024))
                said_bytes += 16 * 1024

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(speak)
            await _stuck(harness, lambda: said_bytes)
            tasks.cancel_scope.cancel()
        assert said_bytes <= harness.buffered_bytes, f"{said_bytes} bytes were taken that nobody listened to"


@INGRESS.shows(rules.FOLLOW)
async def following_goes_on_serving(harness: IngressHarness) -> None:
    async with _serving(harness) as service:
        address = service.ingress.address
        visitor = await service.visit()
        await _talk(visitor, b"before")
        service.ingress.follow(harness.ingress(address))
        assert service.ingress.address == address, "it is elsewhere"
        await _talk(visitor, b"after")
        await _echoed(service, [b"another"])


@INGRESS.shows(rules.DRAIN)
async def draining_lets_conversations_finish(harness: IngressHarness) -> None:
    async with _serving(harness) as service:
        visitor = await service.visit()
        await _talk(visitor, b"before")
        service.ingress.drain(_LONG_S)
        await anyio.wait_all_tasks_blocked()
        await _refused(harness, service.ingress.address)
        await _talk(visitor, b"meanwhile")
        assert not service.over.is_set(), "it returned before the last conversation was over"
        await visitor.end()
        assert await _answer(visitor) == b"", "more was heard than was said"
        await visitor.leave()
        await service.returned()
        assert service.target.cancelled == 0, "a conversation was cut off"


@INGRESS.shows(rules.GRACE)
async def what_outlasts_its_time_is_cut_off(harness: IngressHarness) -> None:
    async with _serving(harness) as service:
        visitor = await service.visit()
        await _talk(visitor, b"before")
        service.ingress.drain(_GRACE_S)
        await service.returned(_GRACE_S + harness.farewell_s + PATIENCE_S)
        assert service.target.running == 0, "a conversation goes on"
        assert service.target.cancelled == 1, "its target was not cancelled"
        await _failed("being cut off", lambda: _answer(visitor))


@INGRESS.shows(rules.CANCEL)
async def cancelled_it_lets_go_of_everything(harness: IngressHarness) -> None:
    async with _serving(harness) as service:
        visitor = await service.visit()
        await _talk(visitor, b"before")
        service.scope.cancel()
        await service.returned(harness.farewell_s + PATIENCE_S)
        assert service.target.running == 0, "a conversation goes on"
        successor = harness.ingress(service.ingress.address)
        successor.bind()
        successor.drain(0)


@INGRESS.shows(rules.NOTHING_LEFT)
async def nothing_is_left(harness: IngressHarness) -> None:
    async def use() -> None:
        async with _serving(harness) as service:
            await _echoed(service, [b"x"])
            visitor = await service.visit()
            await _talk(visitor, b"x")
            await visitor.leave()
            await service.all_leave()
            service.ingress.drain(_GRACE_S)
            await service.returned()

    # Libraries keep what they make once, and pools of threads grow by one now and then; what leaks does so each time.
    left = ["not yet looked at"]
    for _ in range(4):
        before = Holdings.now()
        await use()
        left = await before.beyond(patience_s=_RELEASE_S)
        if not left:
            return
    raise AssertionError(f"left behind: {left}")
