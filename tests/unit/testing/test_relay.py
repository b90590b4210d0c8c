"""The relay through which contracts lead connections."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from tunnel.testing.relay import Relay

DEADLINE_S = 10

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(ConnectionResetError):
        await writer.wait_closed()


@asynccontextmanager
async def relayed() -> AsyncIterator[tuple[Relay, Streams, Streams]]:
    """A relay, and both ends of a connection through it."""
    accepted: asyncio.Queue[Streams] = asyncio.Queue()
    writers: list[asyncio.StreamWriter] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await accepted.put((reader, writer))

    async with asyncio.timeout(DEADLINE_S), await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        relay = Relay(*server.sockets[0].getsockname())
        await relay.start()
        near = await asyncio.open_connection("127.0.0.1", relay.port)
        far = await accepted.get()
        try:
            yield relay, near, far
        finally:
            await relay.aclose()
            for writer in (near[1], *writers):
                await closed(writer)


@pytest.mark.anyio
async def test_bytes_and_ends_pass_in_both_directions() -> None:
    async with relayed() as (_, (near_reader, near_writer), (far_reader, far_writer)):
        near_writer.write(b"ask")
        near_writer.write_eof()
        assert await far_reader.read() == b"ask"

        far_writer.write(b"answer")
        far_writer.write_eof()
        assert await near_reader.read() == b"answer"


@pytest.mark.anyio
async def test_severed_connection_is_reset_on_both_sides() -> None:
    async with relayed() as (relay, (near_reader, near_writer), (far_reader, _)):
        near_writer.write(b"before")
        assert await far_reader.readexactly(6) == b"before"

        relay.sever()

        for reader in (near_reader, far_reader):
            with pytest.raises(ConnectionResetError):
                await reader.read()


@pytest.mark.anyio
async def test_connection_after_a_break_is_passed_on() -> None:
    async with relayed() as (relay, _, _):
        relay.sever()

        _, again = await asyncio.open_connection("127.0.0.1", relay.port)
        again.write(b"once more")
        await again.drain()
        await closed(again)


@pytest.mark.anyio
async def test_connection_that_leads_nowhere_is_reset() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        relay = Relay(*deaf.getsockname())
        await relay.start()
        async with asyncio.timeout(DEADLINE_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
            with pytest.raises(ConnectionResetError):
                await reader.read()
            await closed(writer)
            await relay.aclose()
