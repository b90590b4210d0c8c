"""The scenarios that show the rules of ingresses."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import anyio
from hypothesis import strategies as st

from tunnel.domain.envelopes import GrpcFrame, HttpRequest, TcpOpen
from tunnel.domain.errors import ListenError
from tunnel.testing.declared import MOST_BUFFERED_BYTES, expect_at_most, expect_bounded, expect_filled, expect_still
from tunnel.testing.holdings import left_behind
from tunnel.testing.ingress import rules
from tunnel.testing.ingress.harness import IngressHarness
from tunnel.testing.ingress.rules import INGRESS
from tunnel.testing.ingress.scripts import ScriptedTarget
from tunnel.testing.ingress.service import answer, echoed, failed, refused, serving, talk
from tunnel.testing.patience import PATIENCE_S, expect_within, until

__all__: list[str] = []

_GRACE_S = 0.1

_FAREWELL_S = 1.0
"""Longest that cutting conversations off takes after their time is over."""

_LONG_S = 60.0

_RELEASE_S = 1.5
"""Longest that the system takes to take back what was released."""


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
        second.drain(0)
        raise AssertionError(f"{address} was taken twice")
    finally:
        ingress.drain(0)


@INGRESS.shows(rules.STARTED)
async def started_means_that_it_answers(harness: IngressHarness) -> None:
    async with serving(harness) as service:
        await echoed(service, [b"x"])
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
    async with serving(harness) as service:
        await echoed(service, [b"x"])
        (stream,) = service.target.streams
    head = stream.head
    protocol = head.protocol if isinstance(head, HttpRequest) else _PROTOCOLS[type(head)]
    assert protocol == harness.dialect.protocol, f"it says that it is {protocol}"
    assert stream.peer == harness.peer, f"it says that it comes from {stream.peer!r}"


_PROTOCOLS: dict[type, str] = {GrpcFrame: "grpc", TcpOpen: "tcp"}

_sizes = st.lists(st.integers(1, 300) | st.sampled_from([1, 65_535, 65_536, 100_000]), min_size=1, max_size=6)


@INGRESS.shows(rules.WHOLE, drawn=_sizes)
async def everything_said_is_heard(harness: IngressHarness, sizes: list[int]) -> None:
    async with serving(harness) as service, anyio.create_task_group() as tasks:
        for turn in range(3):
            pieces = [bytes([number + 10 * turn]) * size for number, size in enumerate(sizes)]
            tasks.start_soon(echoed, service, pieces)


@INGRESS.shows(rules.STREAMS)
async def talk_goes_back_and_forth(harness: IngressHarness) -> None:
    async with serving(harness) as service:
        visitor = await service.visit()
        for number in range(5):
            await talk(visitor, b"number %d" % number)
        await visitor.end()
        assert await answer(visitor) == b"", "more was heard than was said"


@INGRESS.shows(rules.FAILS)
async def failures_are_told_to_whom_they_concern(harness: IngressHarness) -> None:
    async with serving(harness) as service:
        neighbour = await service.visit()
        await talk(neighbour, b"before")
        service.target.script = service.target.fail
        visitor = await service.visit()
        await visitor.end()
        await failed("being told of the failure", lambda: answer(visitor))
        service.target.script = service.target.echo
        await talk(neighbour, b"after")
        await echoed(service, [b"as before"])


@INGRESS.shows(rules.CUT)
async def what_was_not_ended_is_cut_off(harness: IngressHarness) -> None:
    async with serving(harness) as service:
        service.target.script = service.target.cut
        visitor = await service.visit()
        await visitor.end()
        await failed("being cut off", lambda: answer(visitor))


def _cancelled_beyond(target: ScriptedTarget, before: int) -> bool:
    return target.cancelled > before


@INGRESS.shows(rules.LEAVE)
async def leaving_cancels_the_target(harness: IngressHarness) -> None:
    async with serving(harness) as service:
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
    expect_at_most("buffered_bytes", harness.buffered_bytes, MOST_BUFFERED_BYTES)
    async with serving(harness) as service:
        service.target.script = service.target.flood
        visitor = await service.visit()
        await visitor.end()
        await until("a flood", lambda: service.target.said_bytes > 0)
        await _stuck(harness, lambda: service.target.said_bytes)
        expect_bounded("buffered_bytes", harness.buffered_bytes, service.target.said_bytes)
        await expect_still("quiet_s", harness.quiet_s, lambda: service.target.said_bytes)
        said = service.target.said_bytes
        expect_filled("buffered_bytes", harness.buffered_bytes, said)

        async def more() -> None:
            while service.target.said_bytes <= said + harness.buffered_bytes:
                await visitor.hear()

        await expect_within("more of the flood", more, 2 * PATIENCE_S)


@INGRESS.shows(rules.DEAF)
async def targets_that_do_not_listen_make_visitors_wait(harness: IngressHarness) -> None:
    async with serving(harness) as service:
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
    async with serving(harness) as service:
        address = service.ingress.address
        visitor = await service.visit()
        await talk(visitor, b"before")
        service.ingress.follow(harness.ingress(address))
        assert service.ingress.address == address, "it is elsewhere"
        await talk(visitor, b"after")
        await echoed(service, [b"another"])


@INGRESS.shows(rules.DRAIN)
async def draining_lets_conversations_finish(harness: IngressHarness) -> None:
    async with serving(harness) as service:
        visitor = await service.visit()
        await talk(visitor, b"before")
        service.ingress.drain(_LONG_S)
        await anyio.wait_all_tasks_blocked()
        await refused(harness, service.ingress.address)
        await talk(visitor, b"meanwhile")
        assert not service.over.is_set(), "it returned before the last conversation was over"
        await visitor.end()
        assert await answer(visitor) == b"", "more was heard than was said"
        await visitor.leave()
        await service.returned()
        assert service.target.cancelled == 0, "a conversation was cut off"


@INGRESS.shows(rules.GRACE)
async def what_outlasts_its_time_is_cut_off(harness: IngressHarness) -> None:
    async with serving(harness) as service:
        visitor = await service.visit()
        await talk(visitor, b"before")
        service.ingress.drain(_GRACE_S)
        await service.returned(_GRACE_S + _FAREWELL_S + PATIENCE_S)
        assert service.target.running == 0, "a conversation goes on"
        assert service.target.cancelled == 1, "its target was not cancelled"
        await failed("being cut off", lambda: answer(visitor))


@INGRESS.shows(rules.CANCEL)
async def cancelled_it_lets_go_of_everything(harness: IngressHarness) -> None:
    async with serving(harness) as service:
        visitor = await service.visit()
        await talk(visitor, b"before")
        service.scope.cancel()
        await service.returned(_FAREWELL_S + PATIENCE_S)
        assert service.target.running == 0, "a conversation goes on"
        successor = harness.ingress(service.ingress.address)
        successor.bind()
        successor.drain(0)


@INGRESS.shows(rules.NOTHING_LEFT)
async def nothing_is_left(harness: IngressHarness) -> None:
    async def use() -> None:
        async with serving(harness) as service:
            await echoed(service, [b"x"])
            visitor = await service.visit()
            await talk(visitor, b"x")
            await visitor.leave()
            await service.all_leave()
            service.ingress.drain(_GRACE_S)
            await service.returned()

    left = await left_behind(use, patience_s=_RELEASE_S)
    assert not left, f"left behind: {', '.join(left)}"
