"""Calls are cancelled, at every point where they wait."""

from __future__ import annotations

from functools import partial
from itertools import count

import anyio
import anyio.lowlevel

from tunnel.domain.errors import LinkEnd, LinkError
from tunnel.ports.transport import Link, Listener
from tunnel.testing.holdings import Holdings
from tunnel.testing.interruption import interrupt
from tunnel.testing.transport import rules
from tunnel.testing.transport.clogged import Clogged
from tunnel.testing.transport.directions import each_way, ordered
from tunnel.testing.transport.ends import CLOSE_S, expect, in_time
from tunnel.testing.transport.frames import chunk_frame, end_of
from tunnel.testing.transport.harness import TransportHarness
from tunnel.testing.transport.held_links import HeldLinks
from tunnel.testing.transport.rules import TRANSPORT

__all__: list[str] = []


@TRANSPORT.shows(rules.CANCEL_RECEIVE)
@each_way
async def receive_that_waits_can_be_cancelled(harness: TransportHarness, *, from_server: bool) -> None:
    async with harness.connected_pair() as pair:
        sender, receiver = ordered(pair, from_server=from_server)
        outcome = await interrupt(receiver.receive, at=1, give_up=sender.abort)
        assert outcome.reached, "did not wait although nothing was sent"
        await sender.send(chunk_frame(1))
        assert (await receiver.receive()).seq == 1


@TRANSPORT.shows(rules.CANCEL_RECEIVE)
@each_way
async def receive_cancelled_as_a_frame_comes_loses_none(harness: TransportHarness, *, from_server: bool) -> None:
    received: list[int] = []
    scope = anyio.CancelScope()

    async def receive() -> None:
        with scope:
            received.append((await receiver.receive()).seq)

    async with harness.connected_pair() as pair:
        sender, receiver = ordered(pair, from_server=from_server)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(receive)
            await anyio.wait_all_tasks_blocked()
            # The receiver has not run since it was cancelled, and finds the frame when it does.
            scope.cancel()
            await sender.send(chunk_frame(1))
        if not received:
            received.append((await receiver.receive()).seq)
    assert received == [1], f"{received} arrived of [1]"


@TRANSPORT.shows(rules.CANCEL_RECEIVE)
@each_way
async def receive_cancelled_at_each_point_loses_nothing(harness: TransportHarness, *, from_server: bool) -> None:
    async with harness.connected_pair() as pair:
        sender, receiver = ordered(pair, from_server=from_server)
        for at in count(1):
            first = 2 * at - 1
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_send_two, sender, first)
                outcome = await interrupt(receiver.receive, at=at, give_up=receiver.abort)
            received = [frame.seq for frame in outcome.result]
            assert outcome.error is None, f"{outcome.error} after a receive was cancelled at suspension {at}"
            while not received or received[-1] < first + 1:
                received.append((await receiver.receive()).seq)
            assert received == [first, first + 1], f"{received} arrived of {[first, first + 1]}, cancelled at {at}"
            if not outcome.reached:
                return


async def _send_two(link: Link, first: int) -> None:
    await link.send(chunk_frame(first))
    await link.send(chunk_frame(first + 1))


@TRANSPORT.shows(rules.CANCEL_RECEIVE)
async def receive_cancelled_while_frames_come_loses_none(harness: TransportHarness) -> None:
    received: list[int] = []

    async def receive(link: Link) -> None:
        received.append((await link.receive()).seq)

    async with harness.connected_pair() as (client, server):
        for seq in range(1, 101):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(receive, server)
                await anyio.lowlevel.checkpoint()
                await client.send(chunk_frame(seq))
                for _ in range(seq % 9):
                    await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()
            if len(received) < seq - 2:
                await receive(server)
        while len(received) < 100:
            await receive(server)
    assert received == list(range(1, 101)), f"{received} arrived"


@TRANSPORT.shows(rules.CANCEL_SEND)
@each_way
async def cancelled_blocked_send_repeats_and_reorders_nothing(harness: TransportHarness, *, from_server: bool) -> None:
    async with harness.clogged_pair(from_server=from_server) as clogged:
        await _cancel_blocked_send(clogged)
        if not harness.capabilities.survives_cancelled_send:
            ends: list[LinkEnd] = []
            await in_time(_sending(clogged.sender, ends), "sending after a send was cancelled")
            expect(*ends, LinkEnd.BROKEN, when="after a send was cancelled, which such a link does not survive")
            return
        next_seq = clogged.handed_over + 2
        received = await _drain(clogged, range(next_seq, next_seq + 20))
    certain = [*range(1, next_seq - 1), *range(next_seq, next_seq + 20)]
    assert received in (certain, sorted([*certain, next_seq - 1])), f"{received} arrived of {certain}"


async def _sending(link: Link, ends: list[LinkEnd]) -> None:
    ends.append(await end_of(lambda: link.send(chunk_frame(1))))


async def _cancel_blocked_send(clogged: Clogged) -> None:
    clogged.scope.cancel()
    with anyio.move_on_after(CLOSE_S) as scope:
        await clogged.stopped.wait()
    if scope.cancelled_caught:
        clogged.sender.abort()
        raise AssertionError("a blocked send goes on although it was cancelled")


async def _drain(clogged: Clogged, more: range) -> list[int]:
    """Send ``more`` and receive until the last of it."""
    received: list[int] = []

    async def send_more() -> None:
        for seq in more:
            await clogged.sender.send(chunk_frame(seq, clogged.frame_bytes))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send_more)
        while not received or received[-1] < more[-1]:
            received.append((await clogged.receiver.receive()).seq)
    return received


@TRANSPORT.shows(rules.CANCEL_SEND)
async def send_cancelled_at_each_point_sends_whole_or_not(harness: TransportHarness) -> None:
    for at in count(1):
        async with harness.connected_pair() as (client, server):
            received: list[int] = []
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_receive_through, server, 9, received)
                # The first fill what there is to fill, so that more than one way of waiting is met.
                for seq in range(1, 8):
                    await client.send(chunk_frame(seq, 200_000))
                outcome = await interrupt(partial(client.send, chunk_frame(8, 200_000)), at=at, give_up=client.abort)
                try:
                    await client.send(chunk_frame(9))
                except LinkError as exc:
                    assert not harness.capabilities.survives_cancelled_send, f"{exc} after a cancelled send"
                    tasks.cancel_scope.cancel()
            numbers = set(received)
            assert received == sorted(numbers), f"{received} arrived, cancelled at suspension {at}"
            if harness.capabilities.survives_cancelled_send:
                assert numbers | {8} == set(range(1, 10)), f"{received} arrived, cancelled at suspension {at}"
            if not outcome.reached:
                assert 8 in numbers, f"{received} arrived, nothing was cancelled"
                return


async def _receive_through(link: Link, last: int, received: list[int]) -> None:
    while last not in received:
        received.append((await link.receive()).seq)


@TRANSPORT.shows(rules.CANCEL_BOUND)
async def sends_cancelled_again_and_again_stay_bounded(harness: TransportHarness) -> None:
    if not harness.capabilities.survives_cancelled_send:
        return
    # Small ones, so that little is left free. Each costs time: larger where much is buffered.
    small_bytes = max(1024, harness.capabilities.buffered_bytes // 4096)
    async with harness.clogged_pair(frame_bytes=small_bytes) as clogged:
        await _cancel_blocked_send(clogged)
        first = clogged.handed_over + 2
        frame_bytes = 200_000
        tries = harness.capabilities.buffered_bytes // frame_bytes + 20
        for seq in range(first, first + tries):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(clogged.sender.send, chunk_frame(seq, frame_bytes))
                await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()
        last = first + tries
        clogged.frame_bytes = 8
        received = await _drain(clogged, range(last, last + 1))
        assert received == sorted(set(received)), f"{received} arrived"
        taken = len([seq for seq in received if seq >= first])
        assert taken < tries, f"{taken} cancelled frames were taken although nobody read"


@TRANSPORT.shows(rules.CANCEL_CLOSE)
@each_way
async def close_cancelled_at_each_point_has_closed(harness: TransportHarness, *, from_server: bool) -> None:
    for at in count(1):
        async with harness.connected_pair() as pair:
            closer, other = ordered(pair, from_server=from_server)
            outcome = await interrupt(closer.aclose, at=at, give_up=closer.abort)
            assert outcome.error is None, f"{outcome.error} when closing was cancelled at suspension {at}"
            expect(await end_of(closer.receive), LinkEnd.CLOSED, when=f"after a close cancelled at suspension {at}")
            expect(await end_of(partial(closer.send, chunk_frame(1))), LinkEnd.CLOSED, when="to a sender")
            await in_time(closer.aclose(), "closing again")
            end = await end_of(other.receive)
            expect(end, LinkEnd.ENDED, LinkEnd.BROKEN, when=f"to the peer of a close cancelled at suspension {at}")
            if not outcome.reached:
                return


@TRANSPORT.shows(rules.CANCEL_CONNECT)
async def connect_cancelled_at_each_point_leaves_nothing(harness: TransportHarness) -> None:
    served = _CountedLinks()
    async with harness.serve(served) as listener:
        # What is made once, and for all links, is no leak.
        (await harness.connect(listener)).abort()
        await served.gone(1)
        before = Holdings.now()
        for at in count(1):
            reached = await _connect_interrupted(harness, listener, at)
            came = served.came
            (await harness.connect(listener)).abort()
            await served.gone(came + 1)
            left = await before.beyond(patience_s=CLOSE_S)
            assert not left, f"{', '.join(left)} left by a connect cancelled at suspension {at}"
            if not reached:
                return


async def _connect_interrupted(harness: TransportHarness, listener: Listener, at: int) -> bool:
    """Whether there was such a suspension. No link is referred to when this returns."""
    outcome = await interrupt(lambda: harness.connect(listener), at=at)
    assert outcome.error is None, f"{outcome.error} when connecting was cancelled at suspension {at}"
    for link in outcome.result:
        link.abort()
    return outcome.reached


class _CountedLinks(HeldLinks):
    """Reads from its links until they end, and counts them."""

    def __init__(self) -> None:
        super().__init__()
        self.came = 0
        self._open = 0
        self._changed = anyio.Event()

    async def proxy(self, link: Link) -> None:
        self._count(1)
        try:
            while True:
                await link.receive()
        except LinkError:
            self._count(-1)

    async def gone(self, came: int) -> None:
        """Wait until so many links have come, and all have ended."""
        with anyio.move_on_after(CLOSE_S) as scope:
            while self.came < came or self._open:
                self._changed = anyio.Event()
                await self._changed.wait()
        assert not scope.cancelled_caught, f"{self._open} links are still open, {self.came} of {came} have come"

    def _count(self, links: int) -> None:
        self.came += max(links, 0)
        self._open += links
        self._changed.set()


@TRANSPORT.shows(rules.CANCEL_SERVE)
async def cancelling_serve_closes_everything(harness: TransportHarness) -> None:
    held = HeldLinks()
    listener = harness.listener()
    listener.bind()
    address = listener.address
    started = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, held, started.set)
        await started.wait()
        client = await harness.connect(listener)
        server = await held.link()
        tasks.cancel_scope.cancel()
    expect(await end_of(client.receive), LinkEnd.BROKEN, LinkEnd.ENDED, when="to a client whose server was cancelled")
    expect(await end_of(server.receive), LinkEnd.BROKEN, LinkEnd.CLOSED, when="to a link of a listener cancelled")
    await in_time(client.aclose(), "closing")
    again = harness.listener_at(address)
    again.bind()
    again.stop()
