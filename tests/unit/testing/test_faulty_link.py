"""Links that their network mistreats: what each fault does to frames, and to the two ends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from tunnel.adapters.memory.link import MemoryPair
from tunnel.domain.envelopes import KIND_OF, BodyChunk, Envelope, Frame, Ping
from tunnel.domain.errors import LinkEnd, LinkError
from tunnel.domain.messagepack import encode_frame
from tunnel.testing.autojump import AutojumpClock
from tunnel.testing.faults import Cut, Delay, FaultSchedule, HalfOpen, Heal, Reorder, ScheduledFault, Throttle
from tunnel.testing.faulty_link import REORDER_S, FaultyLink
from tunnel.testing.faulty_network import FaultyNetwork

pytestmark = pytest.mark.anyio

HOUR_S = 3600.0


class Pair:
    """Both ends of one faulty link, and what is below."""

    def __init__(self) -> None:
        self.network = FaultyNetwork()
        self.below = MemoryPair("edge")
        self.client = FaultyLink(self.below.client, self.network)
        self.server = FaultyLink(self.below.server, self.network)


@pytest.fixture
def pair(anyio_backend: object) -> Pair:
    return Pair()


def counted(seq: int, size_bytes: int = 10) -> Frame:
    return Frame((Envelope(1, KIND_OF[BodyChunk], BodyChunk(bytes(size_bytes))),), seq=seq)


def uncounted(number: int) -> Frame:
    return Frame((Envelope(0, KIND_OF[Ping], Ping(number)),))


async def end_of(call: object) -> LinkEnd:
    with pytest.raises(LinkError) as caught:
        await call()  # type: ignore[operator]
    return caught.value.end


@asynccontextmanager
async def sending(link: FaultyLink, *frames: Frame) -> AsyncIterator[None]:
    async def send_all() -> None:
        for frame in frames:
            await link.send(frame)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send_all)
        yield


async def is_silent(link: FaultyLink) -> bool:
    """Whether nothing is heard of it for an hour."""
    with anyio.move_on_after(HOUR_S):
        try:
            await link.receive()
        except LinkError:
            return False
        return False
    return True


async def test_without_faults_frames_pass_at_once(pair: Pair):
    await pair.client.send(counted(1))
    pair.client.push(counted(2))

    assert [await pair.server.receive() for _ in range(2)] == [counted(1), counted(2)]
    assert anyio.current_time() < 1
    assert pair.server.peer == pair.below.server.peer


async def test_cut_breaks_both_ends_and_whoever_waits_there(pair: Pair):
    ends: list[LinkEnd] = []

    async def wait(link: FaultyLink) -> None:
        ends.append(await end_of(link.receive))

    async with anyio.create_task_group() as tasks:
        for link in (pair.client, pair.server):
            tasks.start_soon(wait, link)
        await anyio.wait_all_tasks_blocked()
        pair.network.cut()

    assert ends == [LinkEnd.BROKEN, LinkEnd.BROKEN]
    assert await end_of(lambda: pair.client.send(counted(1))) is LinkEnd.BROKEN
    assert not pair.server.ready
    assert pair.network.links == []


async def test_cut_wakes_a_sender_that_waits(pair: Pair):
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_send_until_broken, pair.client)
        await anyio.wait_all_tasks_blocked()
        pair.network.cut()


async def _send_until_broken(link: FaultyLink) -> None:
    async def send_on() -> None:
        for seq in range(100):
            await link.send(counted(seq))

    assert await end_of(send_on) is LinkEnd.BROKEN


async def test_frames_that_were_under_way_are_lost_in_a_cut(pair: Pair):
    await pair.client.send(counted(1))
    pair.network.cut()

    assert await end_of(pair.server.receive) is LinkEnd.BROKEN


async def test_link_closed_before_a_cut_stays_closed_by_this_side(pair: Pair):
    await pair.client.aclose()
    pair.network.cut()

    assert await end_of(pair.client.receive) is LinkEnd.CLOSED


async def test_link_closed_after_a_cut_stays_broken(pair: Pair):
    pair.network.cut()
    await pair.client.aclose()
    pair.client.abort()

    assert await end_of(pair.client.receive) is LinkEnd.BROKEN


async def test_half_open_link_takes_everything_and_delivers_nothing(pair: Pair):
    await pair.client.send(counted(1))
    pair.network.half_open()
    for seq in range(2, 100):
        await pair.client.send(counted(seq))
        assert pair.client.ready
        pair.client.push(counted(seq))

    assert await is_silent(pair.server)
    assert await is_silent(pair.client)


@pytest.mark.parametrize("how", ["aclose", "abort"])
async def test_half_open_link_hides_that_the_other_end_gave_up(pair: Pair, how: str):
    pair.network.half_open()
    if how == "aclose":
        await pair.client.aclose()
    else:
        pair.client.abort()

    assert await end_of(pair.client.receive) is LinkEnd.CLOSED
    assert await is_silent(pair.server)
    await pair.server.send(counted(1))


async def test_closing_a_half_open_link_wakes_whoever_waits_on_this_side(pair: Pair):
    pair.network.half_open()
    await pair.client.aclose()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(end_of, pair.server.receive)
        await anyio.wait_all_tasks_blocked()
        await pair.server.aclose()


async def test_delayed_frames_arrive_later_in_order_and_side_by_side(pair: Pair):
    pair.network.delay(2.0)
    frames = [counted(seq) for seq in range(1, 11)]
    started_at = anyio.current_time()

    async with sending(pair.client, *frames):
        received = [await pair.server.receive()]
        assert 2.0 <= anyio.current_time() - started_at < 2.1
        received += [await pair.server.receive() for _ in frames[1:]]

    assert received == frames
    # One after another they would take twenty seconds.
    assert anyio.current_time() - started_at < 2.1


async def test_cancelled_receive_loses_no_delayed_frame(pair: Pair):
    pair.network.delay(1.0)
    await pair.client.send(counted(1))
    for _ in range(5):
        with anyio.move_on_after(0.1):
            await pair.server.receive()

    assert await pair.server.receive() == counted(1)


async def test_delayed_frames_come_before_the_peers_orderly_end(pair: Pair):
    pair.network.delay(1.0)
    await pair.client.send(counted(1))
    await pair.client.aclose()

    assert await pair.server.receive() == counted(1)
    assert await end_of(pair.server.receive) is LinkEnd.ENDED


async def test_throttled_link_takes_its_time_for_every_byte(pair: Pair):
    frames = [counted(seq, 10_000) for seq in range(1, 6)]
    pair.network.throttle(10_000)
    started_at = anyio.current_time()

    async with sending(pair.client, *frames):
        assert [await pair.server.receive() for _ in frames] == frames

    took_s = sum(len(encode_frame(frame)) for frame in frames) / 10_000
    assert anyio.current_time() - started_at == pytest.approx(took_s, abs=0.01)


async def test_throttled_link_makes_its_sender_wait(pair: Pair):
    pair.network.throttle(1.0)
    sent = 0

    async def send_on() -> None:
        nonlocal sent
        while True:
            await pair.client.send(counted(sent + 1))
            sent += 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send_on)
        with anyio.move_on_after(5):
            await pair.server.receive()
        tasks.cancel_scope.cancel()

    assert 1 <= sent <= 6


async def test_healed_link_is_as_fast_as_before(pair: Pair):
    pair.network.delay(5)
    pair.network.throttle(1)
    pair.network.heal()
    await pair.client.send(counted(1))

    assert await pair.server.receive() == counted(1)
    assert anyio.current_time() < 1


async def test_second_counted_frame_overtakes_the_first_once(pair: Pair):
    pair.network.reorder()
    frames = [counted(1), uncounted(1), counted(2), counted(3)]

    async with sending(pair.client, *frames):
        received = [await pair.server.receive() for _ in frames]

    assert received == [uncounted(1), counted(2), counted(1), counted(3)]


async def test_frame_that_nothing_follows_is_not_lost_and_the_next_is_tried(pair: Pair):
    pair.network.reorder()
    await pair.client.send(counted(1))
    assert await pair.server.receive() == counted(1)
    assert anyio.current_time() >= REORDER_S * 0.9

    async with sending(pair.client, counted(2), counted(3)):
        assert [await pair.server.receive() for _ in range(2)] == [counted(3), counted(2)]


async def test_frame_that_was_held_comes_before_the_peers_orderly_end(pair: Pair):
    started_at = anyio.current_time()
    pair.network.reorder()
    await pair.client.send(counted(1))
    await pair.client.aclose()

    assert await pair.server.receive() == counted(1)
    # Nothing can follow, so nothing is waited for.
    assert anyio.current_time() - started_at < REORDER_S / 2
    assert await end_of(pair.server.receive) is LinkEnd.ENDED


async def test_schedule_strikes_each_fault_at_its_time(pair: Pair):
    struck: list[tuple[float, object]] = []

    class Noting(FaultyNetwork):
        def strike(self, fault: object) -> None:
            struck.append((round(anyio.current_time() - started_at, 3), fault))

    faults = (
        ScheduledFault(0, Delay(0.5)),
        ScheduledFault(1, Cut()),
        ScheduledFault(1, HalfOpen()),
        ScheduledFault(60, Heal()),
    )
    started_at = anyio.current_time()
    await Noting().play(FaultSchedule(faults), AutojumpClock())

    assert struck == [(each.at_s, each.fault) for each in faults]


async def test_every_fault_does_what_its_method_does(pair: Pair):
    network = pair.network
    for fault in (Delay(0.5), Throttle(1_000.0), Reorder(), Heal(), HalfOpen()):
        network.strike(fault)
    assert (network.delay_s, network.reachable) == (0.0, True)
    assert await is_silent(pair.client)

    network.strike(Cut(unreachable=True))

    assert not network.reachable
    assert network.links == []


@pytest.mark.parametrize("at_s", [(1.0, 0.5), (-1.0,)])
async def test_schedule_out_of_order_is_refused(at_s: tuple[float, ...]):
    with pytest.raises(ValueError, match="expected faults sorted by at_s"):
        FaultSchedule(tuple(ScheduledFault(each, Cut()) for each in at_s))
