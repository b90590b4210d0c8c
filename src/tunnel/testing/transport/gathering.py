"""Links that wait for company before the next frame is made: not for long, and without harm."""

from __future__ import annotations

from math import inf
from typing import Final

import anyio
import anyio.lowlevel

from tunnel.testing.transport import rules
from tunnel.testing.transport.directions import each_way, ordered
from tunnel.testing.transport.ends import in_time
from tunnel.testing.transport.frames import chunk_frame, end_of
from tunnel.testing.transport.harness import TransportHarness
from tunnel.testing.transport.rules import TRANSPORT

__all__: list[str] = []

_FRAMES: Final = 4


@TRANSPORT.shows(rules.GATHER)
@each_way
async def gathering_ends_and_the_link_goes_on(harness: TransportHarness, *, from_server: bool) -> None:
    async with harness.connected_pair() as pair:
        sender, receiver = ordered(pair, from_server=from_server)
        for seq in range(1, _FRAMES + 1):
            await sender.send(chunk_frame(seq))
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(in_time, sender.gather(lambda: 0), "gathering where nothing more is said")
                await anyio.lowlevel.checkpoint()
                if seq == 1:
                    tasks.cancel_scope.cancel()
            got = (await receiver.receive()).seq
            assert got == seq, f"frame {got} arrived instead of {seq}"


@TRANSPORT.shows(rules.GATHER)
async def gathering_ends_when_there_is_enough(harness: TransportHarness) -> None:
    async with harness.connected_pair() as (client, server):
        for link in (client, server):
            await link.send(chunk_frame(1))
            for looks in range(3):
                asked = 0

                def waiting(idle: int = looks) -> float:
                    nonlocal asked
                    asked += 1
                    return 0 if asked <= idle else inf

                await in_time(link.gather(waiting), "gathering until there is enough")
                # Once more it may see what has come.
                assert asked <= looks + 2, f"asked {asked} times, though there was enough the time number {looks + 1}"


@TRANSPORT.shows(rules.GATHER)
async def gathering_ends_on_a_link_that_ended(harness: TransportHarness) -> None:
    async with harness.connected_pair() as (client, server):
        await server.send(chunk_frame(1))
        await server.aclose()
        await client.receive()
        await end_of(client.receive)
        for link in (client, server):
            await in_time(link.gather(lambda: 0), "gathering after the end")
