"""TCP through the tunnel as processes: bulk in flat memory, many at once, and processes that go."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import Iterator

import pytest
from e2e_data import MIB, digest
from e2e_stats import nothing_left
from e2e_tcp import DEADLINE_S, Call, Upstream, call, dial, listening
from e2e_topologies import Plan, Topology, make_topology, running
from e2e_visitor import Address

MAX_GROWTH_BYTES = 48 * MIB
CROWD = 200
SLOW = 4 * MIB
"""Bytes a second that a busy machine carries at least."""


@pytest.fixture(scope="module")
def peer() -> Iterator[Upstream]:
    with listening() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def through(
    transport: str, direction: str, upstream: Address, peer: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Topology]:
    """A tunnel to ``peer`` for this module alone: the peak of its memory is this module's doing."""
    plan = Plan(upstream, direction=direction, tcp={"peer": peer.address})
    with running(make_topology(transport, plan, tmp_path_factory.mktemp(transport))) as topology:
        yield topology


def peaks(topology: Topology) -> dict[str, int | None]:
    return {name: process.peak_memory_bytes() for name, process in topology.processes.items()}


async def transfer(address: Address, upstream: Upstream, size: int, *, down: bool) -> tuple[int, str]:
    async with call(address, upstream) as (caller, called):
        sender, receiver = (called, caller) if down else (caller, called)
        pouring = asyncio.create_task(sender.pour(size))
        async with asyncio.timeout(DEADLINE_S + size / SLOW):
            drunk = await receiver.drink()
            await pouring
        receiver.close()
    return drunk


@pytest.mark.parametrize("down", [False, True], ids=["up", "down"])
@pytest.mark.parametrize(
    "size", [pytest.param(64 * MIB, id="64MiB"), pytest.param(1024 * MIB, id="1GiB", marks=pytest.mark.full)]
)
def test_bulk_arrives_whole_and_nobody_keeps_it(
    through: Topology, peer: Upstream, measured, size: int, down: bool
) -> None:
    address = through.tcp("peer")
    asyncio.run(transfer(address, peer, 4 * MIB, down=down))
    before = peaks(through)
    start = time.monotonic()

    with nothing_left(through):
        received = asyncio.run(transfer(address, peer, size, down=down))

    elapsed_s = time.monotonic() - start
    assert received == (size, digest(size))
    if None in before.values():
        pytest.skip("checksums are equal, but no /proc tells the peak of memory here")
    growth = {name: peak - before[name] for name, peak in peaks(through).items()}
    told = ", ".join(f"{name} +{each / MIB:.1f} MiB" for name, each in growth.items())
    measured(f"{size / MIB / elapsed_s:.0f} MiB/s; {told}")
    assert {name: each for name, each in growth.items() if each > MAX_GROWTH_BYTES} == {}


def test_end_that_does_not_read_holds_up_nobody_else_and_costs_little(through: Topology, peer: Upstream) -> None:
    address = through.tcp("peer")

    async def one(number: int, caller: Call, called: Call) -> None:
        said = b"%d" % number * 1000
        await caller.say(said)
        caller.half_close()
        heard = await called.rest()
        await called.say(heard)
        called.close()
        assert await caller.rest() == said

    async def crowd() -> None:
        async with call(address, peer) as (stalled, _), call(address, peer) as (_, stalled_too):
            stuck = [asyncio.create_task(each.pour(256 * MIB)) for each in (stalled, stalled_too)]
            async with asyncio.timeout(DEADLINE_S):
                callers = [await dial(address) for _ in range(CROWD)]
                by_port = {each.socket.getsockname()[1]: each for each in callers}
                for each in callers:
                    await each.say(b"%6d" % each.socket.getsockname()[1])
                calls = [await peer.accept() for _ in callers]
                pairs = [(by_port[int(await each.take(6))], each) for each in calls]
                await asyncio.gather(*(one(number, *pair) for number, pair in enumerate(pairs)))
            for each in callers:
                each.close()
            assert not any(each.done() for each in stuck)
            for each in stuck:
                each.cancel()
            await asyncio.wait(stuck)

    before = peaks(through)
    with nothing_left(through, at_once=CROWD + 2):
        asyncio.run(crowd())
    if None not in before.values():
        assert {n: p - before[n] for n, p in peaks(through).items() if p - before[n] > MAX_GROWTH_BYTES} == {}


# -- processes that go


@pytest.fixture
def own_peer() -> Iterator[Upstream]:
    """What connects here comes of one test."""
    with listening() as upstream:
        yield upstream


@pytest.mark.both_ways
@pytest.mark.parametrize("loses", ["lose_client", "lose_server"])
def test_process_that_is_lost_resets_its_conversations(transport, deploy, own_peer: Upstream, loses: str) -> None:
    topology = deploy(tcp={"peer": own_peer.address})
    address = topology.tcp("peer")

    async def lose() -> None:
        async with call(address, own_peer) as (caller, called):
            await called.say(b"begun")
            assert await caller.take(5) == b"begun"
            await asyncio.to_thread(getattr(topology, loses))
            async with asyncio.timeout(DEADLINE_S):
                if transport == "memory":
                    assert await caller.was_reset()
                    assert await called.was_reset()
                else:
                    # The system closes what a killed process had; the other end waits for the tunnel to be resumed.
                    assert await (caller if loses.endswith(topology.door) else called).rest() == b""

    asyncio.run(lose())


@pytest.mark.both_ways
@pytest.mark.usefixtures("requires_processes")
def test_side_where_conversations_enter_lets_them_finish_when_it_is_told_to_end(deploy, own_peer: Upstream) -> None:
    topology = deploy(tcp={"peer": own_peer.address})
    address = topology.tcp("peer")
    doorkeeper = topology.doorkeeper

    async def finish() -> None:
        async with call(address, own_peer) as (caller, called):
            await caller.say(b"begun")
            assert await called.take(5) == b"begun"
            doorkeeper.signal(signal.SIGTERM)
            async with asyncio.timeout(DEADLINE_S):
                while not await refused(address):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            await called.say(b"finished")
            called.close()
            assert await caller.rest() == b"finished"

    asyncio.run(finish())
    assert doorkeeper.wait() == 0


async def refused(address: Address) -> bool:
    """Whether nobody is let in. Whoever is goes by a reset, and so leaves nothing that would have to finish."""
    try:
        (await dial(address)).reset()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.both_ways
def test_upstream_that_refuses_resets_the_visitor(deploy) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        topology = deploy(tcp={"peer": bound.getsockname()})

        async def refuse() -> bool:
            caller = await dial(topology.tcp("peer"))
            async with asyncio.timeout(DEADLINE_S):
                reset = await caller.was_reset()
            caller.close()
            return reset

        assert asyncio.run(refuse())
