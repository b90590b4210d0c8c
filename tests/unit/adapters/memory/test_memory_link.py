from __future__ import annotations

import anyio
import pytest

from tunnel.adapters.memory.link import MemoryPair
from tunnel.adapters.memory.listener import MemoryListener
from tunnel.adapters.memory.network import MemoryNetwork
from tunnel.adapters.memory.transport import MemoryTransport
from tunnel.domain.errors import LinkEnd, LinkError, ListenError
from tunnel.ports.transport import Link
from tunnel.testing.transport import HeldLinks
from tunnel.testing.transport.frames import chunk_frame

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])]


async def end_of(link: Link) -> LinkEnd:
    with anyio.fail_after(5), pytest.raises(LinkError) as caught:
        await link.receive()
    return caught.value.end


async def test_two_frames_are_taken_in_and_no_more() -> None:
    pair = MemoryPair("a")
    with anyio.fail_after(5):
        await pair.client.send(chunk_frame(1))
        await pair.client.send(chunk_frame(2))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pair.client.send, chunk_frame(3))
            await anyio.wait_all_tasks_blocked()
            assert [await pair.server.receive() for _ in range(3)] == [chunk_frame(1), chunk_frame(2), chunk_frame(3)]


async def test_frames_pass_as_the_objects_they_are() -> None:
    pair = MemoryPair("a")
    frame = chunk_frame(1)
    await pair.client.send(frame)
    assert await pair.server.receive() is frame


async def test_silenced_link_takes_everything_and_delivers_nothing() -> None:
    pair = MemoryPair("a")
    await pair.client.send(chunk_frame(1))
    pair.silence()
    for seq in range(10):
        await pair.client.send(chunk_frame(seq))
    await pair.client.aclose()
    assert await end_of(pair.client) is LinkEnd.CLOSED
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pair.server.receive)
            await anyio.wait_all_tasks_blocked()  # The peer was not told.
            await pair.server.send(chunk_frame(1))
            tasks.cancel_scope.cancel()


async def test_silencing_wakes_a_blocked_sender() -> None:
    pair = MemoryPair("a")

    async def send_three() -> None:
        for seq in range(3):
            await pair.client.send(chunk_frame(seq))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send_three)
            await anyio.wait_all_tasks_blocked()
            pair.silence()


async def test_silenced_link_can_still_be_severed() -> None:
    pair = MemoryPair("a")
    pair.silence()
    pair.sever()
    assert await end_of(pair.client) is LinkEnd.BROKEN
    assert await end_of(pair.server) is LinkEnd.BROKEN


async def test_slow_link_delivers_in_order_after_its_delay() -> None:
    pair = MemoryPair("a")
    pair.slow_down(0.02, capacity_frames=3)
    with anyio.fail_after(5):
        start = anyio.current_time()
        for seq in range(1, 4):
            await pair.client.send(chunk_frame(seq))
        assert anyio.current_time() - start < 0.02
        assert [await pair.server.receive() for _ in range(3)] == [chunk_frame(1), chunk_frame(2), chunk_frame(3)]
        assert anyio.current_time() - start >= 0.02


async def test_frame_on_a_slow_link_is_not_lost_with_the_receiver_that_waited_for_it() -> None:
    pair = MemoryPair("a")
    pair.slow_down(0.02, capacity_frames=2)
    await pair.client.send(chunk_frame(1))
    with anyio.move_on_after(0.001):
        await pair.server.receive()
    with anyio.fail_after(5):
        assert await pair.server.receive() == chunk_frame(1)


async def test_stalled_link_delivers_nothing_until_it_goes_on() -> None:
    pair = MemoryPair("a")
    await pair.client.send(chunk_frame(1))
    pair.stall()
    received = []

    async def receive() -> None:
        received.append(await pair.server.receive())

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(receive)
            await anyio.wait_all_tasks_blocked()
            assert received == []
            pair.stall(stalled=False)
        assert received == [chunk_frame(1)]


async def test_stalled_link_can_be_severed() -> None:
    pair = MemoryPair("a")
    await pair.client.send(chunk_frame(1))
    pair.stall()
    pair.sever()
    assert await end_of(pair.server) is LinkEnd.BROKEN


async def test_faults_by_name_leave_other_links_alone() -> None:
    network = MemoryNetwork()
    held = HeldLinks()
    clients: dict[str, Link] = {}
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for name in ("a", "b"):
                started = anyio.Event()
                tasks.start_soon(MemoryListener(name, network).serve, held, started.set)
                await started.wait()
                clients[name] = await MemoryTransport(network).connect(f"memory://{name}", timeout_s=1)
            assert [pair.name for pair in network.pairs()] == ["a", "b"]
            network.sever("a")
            assert await end_of(clients["a"]) is LinkEnd.BROKEN
            await clients["b"].send(chunk_frame(1))
            network.silence()
            for _ in range(5):
                await clients["b"].send(chunk_frame(1))
            tasks.cancel_scope.cancel()
    assert network.pairs() == []


async def test_networks_are_worlds_apart() -> None:
    here, there = MemoryNetwork(), MemoryNetwork()
    MemoryListener("a", here).bind()
    MemoryListener("a", there).bind()
    with pytest.raises(ListenError):
        MemoryListener("a", here).bind()


@pytest.mark.parametrize("url", ["memory://nobody", "memory://bound", "ws://bound", ""])
async def test_nobody_serving_is_unreachable(url: str) -> None:
    network = MemoryNetwork()
    MemoryListener("bound", network).bind()
    with pytest.raises(LinkError) as caught:
        await MemoryTransport(network).connect(url, timeout_s=1)
    assert caught.value.end is LinkEnd.UNREACHABLE


async def test_link_of_a_connect_that_stop_overtook_is_broken() -> None:
    network = MemoryNetwork()
    listener = MemoryListener("a", network)
    started = anyio.Event()
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, HeldLinks(), started.set)
            await started.wait()
            client = network.dial("a")
            listener.stop()
        assert await end_of(client) is LinkEnd.BROKEN
