"""What the contract of transports does not ask: sizes of the codec, peers that break the rules, processes that die."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any

import grpc
import pytest
from grpc_kit import Service, chunk, connect, end_of, eventually, listening, pair, raw_call, raw_server, received, run

from tunnel.adapters.grpc.codec import encode_frame
from tunnel.adapters.grpc.link import GrpcLink, GrpcStream
from tunnel.adapters.grpc.options import TRANSPORT_METADATA
from tunnel.domain.envelopes import Frame
from tunnel.domain.errors import LinkEnd, LinkError
from tunnel.domain.identity import PeerInfo
from tunnel.domain.limits import MAX_FRAME_BYTES

GARBAGE = b"\xff"

CHILD = """
import asyncio, sys
from tunnel.adapters.grpc.transport import GrpcTransport
async def main():
    link = await GrpcTransport().connect(sys.argv[1], timeout_s=10)
    await link.send(await link.receive())
    await asyncio.Event().wait()
asyncio.run(main())
"""


def largest() -> Frame:
    overhead_bytes = len(encode_frame(chunk(1, 200_000))) - 200_000
    frame = chunk(1, MAX_FRAME_BYTES - overhead_bytes)
    assert len(encode_frame(frame)) == MAX_FRAME_BYTES
    return frame


def test_largest_and_empty_frames_pass_both_ways() -> None:
    async def scenario() -> None:
        async with pair() as (client, server):
            for sender, receiver in ((client, server), (server, client)):
                for frame in (largest(), Frame(()), chunk(1)):
                    await sender.send(frame)
                    assert await receiver.receive() == frame

    run(scenario)


def test_frames_keep_their_order_both_ways_at_once() -> None:
    async def send(link: Any) -> None:
        for seq in range(500):
            await link.send(chunk(seq, seq))

    async def receive(link: Any) -> list[int]:
        return [(await link.receive()).seq for _ in range(500)]

    async def scenario() -> None:
        async with pair() as (client, server), asyncio.TaskGroup() as tasks:
            sending = [tasks.create_task(send(link)) for link in (client, server)]
            assert await receive(client) == list(range(500))
            assert await receive(server) == list(range(500))
            await asyncio.gather(*sending)

    run(scenario)


class Held(GrpcStream):
    """Takes messages one at a time, each when it is let to; brings none."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.take = asyncio.Semaphore(0)
        self._dropped = asyncio.Event()

    async def read(self) -> bytes:
        await self._dropped.wait()
        raise LinkError(LinkEnd.BROKEN, "dropped")

    async def write(self, data: bytes) -> None:
        await self.take.acquire()
        self.taken.append(data)

    async def finish(self) -> None:
        pass

    def drop(self, why: LinkError) -> None:
        self._dropped.set()
        self.take.release()

    async def release(self) -> None:
        pass


@pytest.mark.parametrize(("size_bytes", "waits"), [(20_000, True), (40_000, False)])
def test_next_frame_is_made_while_a_large_one_is_on_its_way(size_bytes: int, waits: bool) -> None:
    async def scenario() -> None:
        stream = Held()
        link = GrpcLink(stream, PeerInfo("grpc", "nobody"))
        sending = asyncio.create_task(link.send(chunk(1, size_bytes)))
        for _ in range(5):
            await asyncio.sleep(0)
        assert sending.done() is not waits
        assert not stream.taken
        stream.take.release()
        await sending
        await eventually(lambda: len(stream.taken) == 1)
        link.abort()
        await link.aclose()

    run(scenario)


@pytest.mark.parametrize(
    ("size_bytes", "envelopes", "waits"), [(20_000, 1, True), (40_000, 1, False), (100, 8, True), (100, 9, False)]
)
def test_sparse_frames_have_the_next_wait_for_company(size_bytes: int, envelopes: int, waits: bool) -> None:
    async def scenario() -> None:
        stream = Held()
        stream.take.release()
        link = GrpcLink(stream, PeerInfo("grpc", "nobody"))
        await link.send(Frame(chunk(1, size_bytes).envelopes * envelopes))
        asked = []
        await link.gather(lambda: asked.append(None) or 0)  # type: ignore[func-returns-value]
        assert bool(asked) is waits
        link.abort()
        await link.aclose()

    run(scenario)


def test_large_frames_that_wait_are_bounded() -> None:
    async def scenario() -> None:
        stream = Held()
        link = GrpcLink(stream, PeerInfo("grpc", "nobody"))
        for seq in (1, 2):
            await link.send(chunk(seq, 40_000))
        third = asyncio.create_task(link.send(chunk(3, 40_000)))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not third.done()
        stream.take.release()
        await third
        link.abort()
        await link.aclose()

    run(scenario)


def test_end_comes_after_every_frame_even_while_the_other_side_sends() -> None:
    # A client's write that fails, because the server has closed, must not hide what the server sent before.
    async def scenario() -> None:
        async with pair() as (client, server):
            stopped = asyncio.Event()

            async def pump() -> None:
                try:
                    while True:
                        await client.send(chunk(1, 30_000))
                except LinkError:
                    stopped.set()

            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(pump())
                for seq in range(20):
                    await server.send(chunk(seq, 30_000))
                closing = tasks.create_task(server.aclose())
                assert await received(client) == (list(range(20)), LinkEnd.ENDED)
                await closing
                await stopped.wait()

    run(scenario)


@pytest.mark.rule("L1")
@pytest.mark.parametrize("attempt", range(20))
def test_orderly_ends_are_told_from_broken_ones(attempt: int) -> None:
    async def scenario() -> None:
        for drop, end in ((False, LinkEnd.ENDED), (True, LinkEnd.BROKEN)):
            async with pair() as (client, server):
                await client.send(chunk(1))
                assert await server.receive() == chunk(1)
                if drop:
                    client.abort()
                else:
                    closing = asyncio.create_task(client.aclose())
                assert await received(server) == ([], end)
                if not drop:
                    await closing

    run(scenario)


@pytest.mark.rule("W7", "W8")
@pytest.mark.parametrize("message", [GARBAGE, bytes(MAX_FRAME_BYTES * 2)], ids=["malformed", "oversized"])
def test_client_that_breaks_the_rules_violates_and_is_told(message: bytes) -> None:
    async def scenario() -> None:
        service = Service()
        async with listening(service) as listener, raw_call(listener.address) as call:
            server = await service.links.get()
            await call.write(encode_frame(chunk(1)))
            await call.write(message)
            assert await received(server) == ([1], LinkEnd.VIOLATED)
            assert await end_of(server.send(chunk(1))) is LinkEnd.VIOLATED
            assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT

    run(scenario)


@pytest.mark.rule("W7", "W8")
@pytest.mark.parametrize(
    "message", [GARBAGE, bytes(MAX_FRAME_BYTES * 2), bytes(3 * 1024 * 1024)], ids=["malformed", "oversized", "huge"]
)
def test_server_that_breaks_the_rules_violates(message: bytes) -> None:
    async def proxy(_: Any, context: Any) -> None:
        await context.send_initial_metadata((TRANSPORT_METADATA,))
        await context.write(encode_frame(chunk(1)))
        await context.write(message)
        await context.read()

    async def scenario() -> None:
        async with raw_server(proxy) as address:
            client = await connect(address)
            assert await received(client) == ([1], LinkEnd.VIOLATED)
            await client.aclose()

    run(scenario)


@pytest.mark.rule("L2", "L5")
@pytest.mark.parametrize(
    ("code", "end"),
    [
        (grpc.StatusCode.UNAVAILABLE, LinkEnd.BROKEN),
        (grpc.StatusCode.INTERNAL, LinkEnd.BROKEN),
        (grpc.StatusCode.CANCELLED, LinkEnd.BROKEN),
        (grpc.StatusCode.PERMISSION_DENIED, LinkEnd.REFUSED),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, LinkEnd.VIOLATED),
    ],
)
def test_status_of_a_link_in_use_tells_its_end(code: grpc.StatusCode, end: LinkEnd) -> None:
    async def scenario() -> None:
        sent = asyncio.Event()

        async def proxy(_: Any, context: Any) -> None:
            await context.send_initial_metadata((TRANSPORT_METADATA,))
            await context.read()
            # A link that ends while it sends tells the sender.
            await sent.wait()
            await context.abort(code, "because")

        async with raw_server(proxy) as address:
            client = await connect(address)
            await client.send(chunk(1))
            sent.set()
            assert await received(client) == ([], end)
            await client.aclose()

    run(scenario)


def test_own_oversized_frame_violates() -> None:
    async def scenario() -> None:
        async with pair() as (client, _):
            assert await end_of(client.send(chunk(1, MAX_FRAME_BYTES * 2))) is LinkEnd.VIOLATED
            assert await end_of(client.receive()) is LinkEnd.VIOLATED

    run(scenario)


def test_killed_client_process_breaks_the_link() -> None:
    async def scenario() -> None:
        service = Service()
        async with listening(service) as listener:
            child = await asyncio.create_subprocess_exec(sys.executable, "-c", CHILD, f"grpc://{listener.address}")
            server = await service.links.get()
            await server.send(chunk(7))
            assert await server.receive() == chunk(7)
            child.kill()
            assert await received(server) == ([], LinkEnd.BROKEN)
            await child.wait()

    run(scenario)


async def send_on(link: Any) -> None:
    while True:
        await link.send(chunk(1, 200_000))


def test_clogged_server_link_is_dropped_without_waiting() -> None:
    async def scenario() -> None:
        service = Service()
        async with listening(service) as listener, raw_call(listener.address) as call:
            server = await service.links.get()
            sending = asyncio.create_task(send_on(server))
            await asyncio.wait([sending], timeout=0.5)  # nothing but quiet shows that it is blocked
            async with asyncio.timeout(1):
                server.abort()
                assert await end_of(server.send(chunk(1))) is LinkEnd.CLOSED
                assert await end_of(server.receive()) is LinkEnd.CLOSED
                await server.aclose()
                assert await end_of(sending) is LinkEnd.CLOSED
            call.cancel()

    run(scenario)


def test_ends_are_not_logged_and_not_printed(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture) -> None:
    async def scenario() -> None:
        async with pair() as (client, server):
            server.abort()
            assert await end_of(client.receive()) is LinkEnd.BROKEN
        async with pair() as (client, server):
            client.abort()
            assert await end_of(server.receive()) is LinkEnd.BROKEN
        async with pair() as (client, server):
            await server.aclose()
            assert await end_of(client.receive()) is LinkEnd.ENDED
        async with pair() as (client, server):
            await client.aclose()
        service = Service()
        async with listening(service) as listener:
            client = await connect(listener.address)
            await service.links.get()
        assert await end_of(client.receive()) is LinkEnd.BROKEN
        await client.aclose()

    with caplog.at_level(logging.INFO):
        run(scenario)
    assert [record for record in caplog.records if record.name != "asyncio"] == []
    assert capfd.readouterr().err == ""


def test_link_whose_owner_forgot_it_is_collected_with_its_connection() -> None:
    async def scenario() -> None:
        service = Service()
        async with listening(service) as listener:
            client = await connect(listener.address)
            server = await service.links.get()
            await server.aclose()
            assert await end_of(client.receive()) is LinkEnd.ENDED
            links = [task for task in asyncio.all_tasks() if task.get_name().startswith("tunnel grpc link")]
            await eventually(lambda: all(task.done() for task in links))

    run(scenario)
