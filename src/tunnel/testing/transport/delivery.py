"""Frames arrive: in order, whole, of every size, both ways."""

from __future__ import annotations

import anyio

from tunnel.domain.envelopes import Frame
from tunnel.ports.transport import Link
from tunnel.testing.transport import rules
from tunnel.testing.transport.directions import each_way, ordered
from tunnel.testing.transport.frames import chunk_frame, largest_frame, varied_frame
from tunnel.testing.transport.harness import TransportHarness
from tunnel.testing.transport.held_links import HeldLinks
from tunnel.testing.transport.rules import TRANSPORT

__all__: list[str] = []


async def _move(sender: Link, receiver: Link, frames: list[Frame]) -> None:
    """Send and receive ``frames``, and see that they are the same."""

    async def send_all() -> None:
        for frame in frames:
            await sender.send(frame)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send_all)
        for number, frame in enumerate(frames):
            got = await receiver.receive()
            assert got == frame, f"frame {got.seq} arrived as number {number}, not {frame.seq}: {got!r:.200}"


@TRANSPORT.shows(rules.PEER)
async def each_end_tells_its_peer(harness: TransportHarness) -> None:
    async with harness.connected_pair() as (client, server):
        for link in (client, server):
            assert link.peer.transport == harness.scheme, f"{link.peer} is not of {harness.scheme}"
        known = harness.capabilities
        assert bool(server.peer.address) is known.addresses, f"addresses={known.addresses}, but there is {server.peer}"
        proven = server.peer.certificate is not None
        assert proven is known.certificates, f"certificates={known.certificates}, but there is {server.peer}"


@TRANSPORT.shows(rules.ORDER)
@each_way
async def frames_arrive_in_order(harness: TransportHarness, *, from_server: bool) -> None:
    sizes = (1, 100, 5_000, 70_000, 1, 200_000)
    frames = [chunk_frame(seq, sizes[seq % len(sizes)]) for seq in range(1, 301)]
    async with harness.connected_pair() as pair:
        await _move(*ordered(pair, from_server=from_server), frames)


@TRANSPORT.shows(rules.FIELDS)
@each_way
async def every_field_of_a_frame_arrives(harness: TransportHarness, *, from_server: bool) -> None:
    async with harness.connected_pair() as pair:
        await _move(*ordered(pair, from_server=from_server), [varied_frame(2**64 - 1)])


@TRANSPORT.shows(rules.EMPTY)
@each_way
async def empty_frame_arrives(harness: TransportHarness, *, from_server: bool) -> None:
    async with harness.connected_pair() as pair:
        await _move(*ordered(pair, from_server=from_server), [Frame(()), Frame((), ack=5)])


@TRANSPORT.shows(rules.LARGEST)
@each_way
async def largest_frame_arrives(harness: TransportHarness, *, from_server: bool) -> None:
    async with harness.connected_pair() as pair:
        await _move(*ordered(pair, from_server=from_server), [largest_frame(), largest_frame(seq=2)])


@TRANSPORT.shows(rules.DUPLEX)
async def both_directions_run_at_once(harness: TransportHarness) -> None:
    frames = [chunk_frame(seq, 60_000) for seq in range(1, 201)]
    async with harness.connected_pair() as (client, server), anyio.create_task_group() as tasks:
        tasks.start_soon(_move, client, server, frames)
        tasks.start_soon(_move, server, client, frames)


@TRANSPORT.shows(rules.PUSH)
@each_way
async def frames_pushed_and_sent_arrive_in_one_order(harness: TransportHarness, *, from_server: bool) -> None:
    frames = [chunk_frame(seq, 20_000) for seq in range(1, 201)]
    pushed = 0
    async with harness.connected_pair() as pair, anyio.create_task_group() as tasks:
        sender, receiver = ordered(pair, from_server=from_server)

        async def send_all() -> None:
            nonlocal pushed
            for frame in frames:
                if frame.seq % 3 and sender.ready:
                    sender.push(frame)
                    pushed += 1
                else:
                    await sender.send(frame)

        tasks.start_soon(send_all)
        for frame in frames:
            got = await receiver.receive()
            assert got == frame, f"frame {got.seq} arrived instead of {frame.seq}"
    assert bool(pushed) is harness.capabilities.readiness, f"{pushed} frames could be pushed"


@TRANSPORT.shows(rules.SEPARATE)
async def several_links_do_not_mix(harness: TransportHarness) -> None:
    held = HeldLinks()
    async with harness.serve(held) as listener:
        pairs = []
        for _ in range(3):
            client = await harness.connect(listener)
            pairs.append((client, await held.link()))
        for seq, (client, server) in enumerate(pairs, 1):
            await client.send(chunk_frame(seq))
            await server.send(chunk_frame(seq + 10))
        for seq, (client, server) in enumerate(pairs, 1):
            assert await server.receive() == chunk_frame(seq)
            assert await client.receive() == chunk_frame(seq + 10)
        for client, _ in pairs:
            await client.aclose()
