"""Links that are full: senders wait, nothing grows, and the rest goes on."""

from __future__ import annotations

from typing import Final

import anyio

from tunnel.domain.errors import LinkEnd
from tunnel.testing.declared import MOST_BUFFERED_BYTES, expect_at_most, expect_filled, expect_still
from tunnel.testing.transport import rules
from tunnel.testing.transport.clogged import Clogged
from tunnel.testing.transport.directions import each_way, ordered
from tunnel.testing.transport.ends import CLOSE_S, expect, in_time
from tunnel.testing.transport.frames import chunk_frame, end_of, send_until_end
from tunnel.testing.transport.harness import TransportHarness
from tunnel.testing.transport.rules import TRANSPORT

__all__: list[str] = []

_LOOKS: Final = 50
"""How often, at least, a link is asked whether it is ready again before it is taken for one that is full."""

_LOOK_AGAIN_S: Final = 0.001
"""Longest until it is asked again: each frame that is on its way costs this."""


@TRANSPORT.shows(rules.BOUND)
@each_way
async def sender_waits_for_a_peer_that_does_not_read(harness: TransportHarness, *, from_server: bool) -> None:
    expect_at_most("buffered_bytes", harness.capabilities.buffered_bytes, MOST_BUFFERED_BYTES)
    # At once, for all of them wait for the same: that nothing moves any more.
    async with anyio.create_task_group() as pairs:
        pairs.start_soon(_waits, harness, from_server)
        if not from_server:
            pairs.start_soon(_waits_with_small_frames, harness)


async def _waits(harness: TransportHarness, from_server: bool) -> None:
    known = harness.capabilities
    async with harness.clogged_pair(from_server=from_server) as clogged:
        await expect_still("quiet_s", known.quiet_s, lambda: clogged.handed_over)
        expect_filled("buffered_bytes", known.buffered_bytes, clogged.handed_over * clogged.frame_bytes)
        for seq in range(1, clogged.handed_over + 50):
            got = (await clogged.receiver.receive()).seq
            assert got == seq, f"frame {got} arrived instead of {seq} when the peer read again"
        assert not clogged.stopped.is_set(), clogged.end


async def _waits_with_small_frames(harness: TransportHarness) -> None:
    async with harness.clogged_pair(frame_bytes=4096) as clogged:
        assert not clogged.stopped.is_set(), clogged.end


@TRANSPORT.shows(rules.READY)
@each_way
async def unread_link_stops_being_ready_within_bounds(harness: TransportHarness, *, from_server: bool) -> None:
    # Each frame costs a wait: few are pushed where much is buffered.
    frame_bytes = max(16_384, min(harness.capabilities.buffered_bytes // 256, 65_536))
    async with harness.connected_pair() as pair:
        sender, receiver = ordered(pair, from_server=from_server)
        pushed = quiet = 0
        quiet_s = harness.capabilities.quiet_s
        pushed_at = anyio.current_time()
        # The transport's own tasks need their turns, and moving bytes needs the system's: a short one for each frame.
        while quiet < _LOOKS or anyio.current_time() < pushed_at + quiet_s:
            if sender.ready:
                pushed += 1
                quiet = 0
                pushed_at = anyio.current_time()
                sender.push(chunk_frame(pushed, frame_bytes))
                bytes_pushed = pushed * frame_bytes
                assert bytes_pushed <= harness.capabilities.buffered_bytes, f"still ready after {bytes_pushed} bytes"
            else:
                quiet += 1
                await anyio.sleep(min(quiet_s / _LOOKS, _LOOK_AGAIN_S))
        assert bool(pushed) is harness.capabilities.readiness, f"was ready {pushed} times"
        for seq in range(1, pushed + 1):
            got = (await receiver.receive()).seq
            assert got == seq, f"frame {got} arrived instead of {seq}"


@TRANSPORT.shows(rules.READY)
async def link_that_ended_is_not_ready(harness: TransportHarness) -> None:
    async with harness.connected_pair() as (client, server):
        await server.aclose()
        await end_of(client.receive)
        for link in (client, server):
            await send_until_end(link)
            assert not link.ready, "ready although the link has ended"


@TRANSPORT.shows(rules.ASIDE)
@each_way
async def clogged_direction_does_not_block_the_other(harness: TransportHarness, *, from_server: bool) -> None:
    async with harness.clogged_pair(from_server=from_server) as clogged:
        for seq in range(1, 20):
            await clogged.receiver.send(chunk_frame(seq))
            assert (await clogged.sender.receive()).seq == seq


async def _woken(clogged: Clogged) -> LinkEnd:
    with anyio.move_on_after(CLOSE_S) as scope:
        await clogged.stopped.wait()
    assert not scope.cancelled_caught, "a blocked sender is not woken"
    assert clogged.end is not None, "a blocked sender goes on after the end"
    return clogged.end


@TRANSPORT.shows(rules.UNCLOG)
@each_way
async def close_by_either_end_wakes_a_blocked_sender(harness: TransportHarness, *, from_server: bool) -> None:
    # At once, for clogging a link is mostly waiting for nothing to move any more.
    async with anyio.create_task_group() as pairs:
        pairs.start_soon(_woken_by_a_close, harness, from_server)
        pairs.start_soon(_woken_by_a_close_of_the_receiver, harness, from_server)


async def _woken_by_a_close(harness: TransportHarness, from_server: bool) -> None:
    async with harness.clogged_pair(from_server=from_server) as clogged:
        await in_time(clogged.sender.aclose(), "closing while a send waits")
        expect(await _woken(clogged), LinkEnd.CLOSED, when="to a blocked sender of the side that closed")


async def _woken_by_a_close_of_the_receiver(harness: TransportHarness, from_server: bool) -> None:
    async with harness.clogged_pair(from_server=from_server) as clogged:
        await in_time(clogged.receiver.aclose(), "closing what a peer fills")
        # What was not read may reset the connection before the word of closing arrives.
        expect(await _woken(clogged), LinkEnd.ENDED, LinkEnd.BROKEN, when="to a blocked sender whose peer closed")


@TRANSPORT.shows(rules.UNCLOG)
async def break_wakes_a_blocked_sender(harness: TransportHarness) -> None:
    async with harness.clogged_pair() as clogged:
        await harness.sever(clogged.sender)
        expect(await _woken(clogged), LinkEnd.BROKEN, when="to a blocked sender on a severed link")
