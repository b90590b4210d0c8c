"""Links end: closed by one side, aborted, or severed by the network, and each end learns which."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final

import anyio

from tunnel.domain.errors import LinkEnd
from tunnel.ports.transport import Link
from tunnel.testing.transport import rules
from tunnel.testing.transport.directions import each_way, ordered
from tunnel.testing.transport.frames import chunk_frame, end_of, receive_until_end, send_until_end
from tunnel.testing.transport.harness import TransportHarness
from tunnel.testing.transport.rules import TRANSPORT

__all__ = ["CLOSE_S", "expect", "in_time"]

CLOSE_S: Final = 2.0
"""An ``aclose`` must return within a second; the rest is for a busy machine."""


async def in_time(call: Awaitable[object], what: str) -> None:
    """Await ``call``, which must not take longer than a close may."""
    with anyio.move_on_after(CLOSE_S) as scope:
        await call
    assert not scope.cancelled_caught, f"{what} takes longer than {CLOSE_S:g} s"


def expect(end: LinkEnd, *allowed: LinkEnd, when: str) -> None:
    """See that a link ended in one of the ways that are ``allowed``."""
    assert end in allowed, f"{end.value} instead of {' or '.join(each.value for each in allowed)} {when}"


async def _receiving(link: Link, ends: list[LinkEnd]) -> None:
    ends.append(await end_of(link.receive))


@TRANSPORT.shows(rules.LAST)
@each_way
async def nothing_is_lost_before_an_orderly_end(harness: TransportHarness, *, from_server: bool) -> None:
    frames = [chunk_frame(seq, 1000) for seq in range(1, 51)]
    async with harness.connected_pair() as pair, anyio.create_task_group() as tasks:
        sender, receiver = ordered(pair, from_server=from_server)

        async def send_all_and_close() -> None:
            for frame in frames:
                await sender.send(frame)
            await sender.aclose()

        tasks.start_soon(send_all_and_close)
        arrived, end = await receive_until_end(receiver)
        assert arrived == frames, f"{len(arrived)} of {len(frames)} frames arrived before the end"
        expect(end, LinkEnd.ENDED, when="after an orderly close")
        expect(await end_of(receiver.receive), LinkEnd.ENDED, when="when asked again")
        expect(await send_until_end(receiver), LinkEnd.ENDED, when="to a sender")


@TRANSPORT.shows(rules.LAST)
async def frames_are_delivered_although_sending_has_failed(harness: TransportHarness) -> None:
    async with harness.connected_pair() as (client, server), anyio.create_task_group() as tasks:
        await client.send(chunk_frame(1))
        await client.send(chunk_frame(2))
        tasks.start_soon(client.aclose)
        expect(await send_until_end(server), LinkEnd.ENDED, when="to a sender")
        arrived, end = await receive_until_end(server)
        assert [frame.seq for frame in arrived] == [1, 2]
        expect(end, LinkEnd.ENDED, when="after an orderly close")


@TRANSPORT.shows(rules.CLOSED)
@each_way
async def nothing_works_after_close(harness: TransportHarness, *, from_server: bool) -> None:
    async with harness.connected_pair() as pair:
        closer, other = ordered(pair, from_server=from_server)
        await other.send(chunk_frame(1))
        await in_time(closer.aclose(), "closing")
        ends: list[LinkEnd] = []
        await in_time(_receiving(closer, ends), "receiving after a close")
        expect(*ends, LinkEnd.CLOSED, when="to a receiver that closed")
        expect(await end_of(lambda: closer.send(chunk_frame(1))), LinkEnd.CLOSED, when="to a sender that closed")


@TRANSPORT.shows(rules.AGAIN)
@each_way
async def close_is_idempotent(harness: TransportHarness, *, from_server: bool) -> None:
    async with harness.connected_pair() as pair:
        closer, other = ordered(pair, from_server=from_server)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(in_time, closer.aclose(), "closing")
            tasks.start_soon(in_time, closer.aclose(), "closing at the same time")
        await in_time(closer.aclose(), "closing again")
        closer.abort()
        closer.abort()
        await in_time(closer.aclose(), "closing what was aborted")
        await in_time(other.aclose(), "closing the other end")


@TRANSPORT.shows(rules.WAKE)
@each_way
async def close_wakes_both_receivers(harness: TransportHarness, *, from_server: bool) -> None:
    async with harness.connected_pair() as pair:
        closer, other = ordered(pair, from_server=from_server)
        here: list[LinkEnd] = []
        there: list[LinkEnd] = []
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_receiving, closer, here)
            tasks.start_soon(_receiving, other, there)
            await anyio.wait_all_tasks_blocked()
            await in_time(closer.aclose(), "closing while a receive waits")
        expect(*here, LinkEnd.CLOSED, when="to a receiver of the side that closed")
        expect(*there, LinkEnd.ENDED, when="to a receiver of the other side")


@TRANSPORT.shows(rules.ABORT)
@each_way
async def abort_is_broken_to_the_peer(harness: TransportHarness, *, from_server: bool) -> None:
    async with harness.connected_pair() as pair:
        aborter, other = ordered(pair, from_server=from_server)
        here: list[LinkEnd] = []
        there: list[LinkEnd] = []
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_receiving, aborter, here)
            tasks.start_soon(_receiving, other, there)
            await anyio.wait_all_tasks_blocked()
            aborter.abort()
        expect(*here, LinkEnd.CLOSED, when="to a receiver that waited and aborted")
        expect(*there, LinkEnd.BROKEN, when="to a receiver that waited for who aborts")
        expect(await end_of(aborter.receive), LinkEnd.CLOSED, when="to a receiver that aborted")
        expect(await end_of(lambda: aborter.send(chunk_frame(1))), LinkEnd.CLOSED, when="to a sender that aborted")
        expect(await end_of(other.receive), LinkEnd.BROKEN, when="when asked again")
        expect(await send_until_end(other), LinkEnd.BROKEN, when="to the peer of an abort that sends")


@TRANSPORT.shows(rules.SEVER)
async def severed_link_is_broken_to_both(harness: TransportHarness) -> None:
    async with harness.connected_pair() as pair:
        ends: list[LinkEnd] = []
        async with anyio.create_task_group() as tasks:
            for link in pair:
                tasks.start_soon(_receiving, link, ends)
            await anyio.wait_all_tasks_blocked()
            await harness.sever(pair[0])
        for end in ends:
            expect(end, LinkEnd.BROKEN, when="to a receiver of a severed link")
        for link in pair:
            expect(await send_until_end(link), LinkEnd.BROKEN, when="to a sender on a severed link")
            expect(await end_of(link.receive), LinkEnd.BROKEN, when="when asked again")


@TRANSPORT.shows(rules.BURY)
async def close_after_a_break_returns(harness: TransportHarness) -> None:
    async with harness.connected_pair() as pair:
        await harness.sever(pair[0])
        for link in pair:
            await in_time(link.aclose(), "closing a broken link")
