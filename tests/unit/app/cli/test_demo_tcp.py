"""The demo's TCP visits: passed by the service itself, and failed by services that do less."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from tunnel.app.cli.demo_tcp import TCP_VISITS, echoing
from tunnel.app.cli.demo_visits import pay

Service = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def failures_at(address: str) -> list[str | None]:
    return [(await pay(visit, address)).failure for visit in TCP_VISITS]


async def failures_with(service: Service) -> list[str | None]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await service(reader, writer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        return await failures_at(f"{host}:{port}")


def test_service_passes_every_row() -> None:
    async def run() -> list[str | None]:
        async with echoing() as address:
            return await failures_at(address)

    assert asyncio.run(run()) == [None] * 3


def test_service_that_says_nothing_fails_every_row() -> None:
    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pass

    assert None not in asyncio.run(failures_with(mute))


def test_end_that_ends_both_directions_fails_the_rows_of_half_close() -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello\n")
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()

    lines, half_close, bulk = asyncio.run(failures_with(cut))
    assert lines is None
    assert half_close is not None
    assert bulk is not None


def test_changed_byte_fails_the_row_of_bulk() -> None:
    async def garble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello\n")
        heard = 0
        while data := await reader.read(65_536):
            heard += len(data)
            writer.write(data if heard < 1_000_000 else b"\0" * len(data))
            await writer.drain()
        writer.write(b"%d bytes\n" % heard)

    lines, half_close, bulk = asyncio.run(failures_with(garble))
    assert (lines, half_close) == (None, None)
    assert bulk is not None


def test_nobody_there_fails_every_row() -> None:
    assert None not in asyncio.run(failures_at("127.0.0.1:9"))
