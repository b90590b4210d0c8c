"""The demo's TCP: a service that gives back what it is told, and what visitors do with it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from tunnel.app.cli.demo_app import blocks
from tunnel.app.cli.demo_visitor import Mismatch
from tunnel.app.cli.demo_visits import Visit

__all__ = ["TCP_VISITS", "echoing"]

_READ_BYTES: Final = 65_536
_LARGE_BYTES: Final = 4 * 1024 * 1024
_GREETING: Final = b"hello\n"
"""The service speaks first, as many servers do."""


@asynccontextmanager
async def echoing() -> AsyncIterator[str]:
    """Run the service on loopback; its address, ``HOST:PORT``.

    It greets, gives back what comes, and when no more comes says how many bytes that was.
    """
    server = await asyncio.start_server(_echo, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        yield f"{host}:{port}"


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        heard = 0
        writer.write(_GREETING)
        while data := await reader.read(_READ_BYTES):
            heard += len(data)
            writer.write(data)
            await writer.drain()
        writer.write(_count(heard))
        await writer.drain()
    except OSError:
        # The visitor has what it wanted, or its row says what it did not get.
        pass
    finally:
        writer.close()


def _count(heard: int) -> bytes:
    return b"%d bytes\n" % heard


@asynccontextmanager
async def _calling(address: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        _expect(_GREETING, await reader.readline())
        yield reader, writer
    finally:
        writer.close()


def _expect(expected: bytes, got: bytes) -> None:
    if expected != got:
        raise Mismatch(expected, got)


async def _lines(address: str) -> int:
    async with _calling(address) as (reader, writer):
        for number in range(10):
            line = b"line %d\n" % number
            writer.write(line)
            _expect(line, await reader.readline())
    return 0


async def _half_close(address: str) -> int:
    said = b"no more after this\n"
    async with _calling(address) as (reader, writer):
        writer.write(said)
        _expect(said, await reader.readline())
        writer.write_eof()
        # The service says this when it has heard that no more comes, and not before.
        _expect(_count(len(said)), await reader.read())
    return 0


async def _bulk(address: str) -> int:
    async with _calling(address) as (reader, writer):
        saying = asyncio.create_task(_say(writer))
        try:
            received, checksum = hashlib.sha256(), hashlib.sha256()
            for block in blocks(_LARGE_BYTES):
                checksum.update(block)
            left_bytes = _LARGE_BYTES
            while left_bytes and (data := await reader.read(min(left_bytes, _READ_BYTES))):
                received.update(data)
                left_bytes -= len(data)
            _expect(checksum.digest(), received.digest())
            _expect(_count(_LARGE_BYTES), await reader.read())
        finally:
            saying.cancel()
            await asyncio.wait((saying,))
    return 2 * _LARGE_BYTES


async def _say(writer: asyncio.StreamWriter) -> None:
    for block in blocks(_LARGE_BYTES):
        writer.write(block)
        await writer.drain()
    writer.write_eof()


TCP_VISITS: Final = (
    Visit("TCP: each line comes back", _lines),
    Visit("TCP: an answer after the visitor's last word", _half_close),
    Visit("TCP: 4 MiB there and back at once", _bulk),
)
"""In the order in which they are made, after those of HTTP."""
