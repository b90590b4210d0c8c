"""An HTTP proxy that knows CONNECT and nothing else, and misbehaves when told to."""

from __future__ import annotations

import asyncio
import contextlib
from base64 import b64encode
from collections.abc import AsyncIterator
from enum import Enum

__all__ = ["ConnectProxy", "Manner", "socks_proxy"]


class Manner(Enum):
    CONNECTS = "connects"
    REFUSES = "refuses"
    HANGS = "hangs"
    CLOSES = "closes"
    CLOSES_MIDWAY = "closes midway"
    BABBLES = "babbles"


class ConnectProxy:
    """Connects whoever may to one address, whatever is asked for, which is noted in ``asked``."""

    def __init__(self, target: str, *, credentials: str = "", manner: Manner = Manner.CONNECTS) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._expected = b64encode(credentials.encode()) if credentials else b""
        self._manner = manner
        self._writers: set[asyncio.StreamWriter] = set()
        self.asked: list[bytes] = []
        self.port = 0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[ConnectProxy]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.sever()
            await server.wait_closed()
            await asyncio.sleep(0)

    def sever(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await self._answer(reader, writer)
        self._writers.discard(writer)
        writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        line, *fields = head.split(b"\r\n")
        self.asked.append(line)
        given = [
            value.strip()
            for name, _, value in (field.partition(b":") for field in fields)
            if name.lower() == b"proxy-authorization"
        ]
        if self._expected and given != [b"Basic " + self._expected]:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            await self._flush(writer)
            return
        match self._manner:
            case Manner.REFUSES:
                writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                await self._flush(writer)
            case Manner.HANGS:
                await reader.read()
            case Manner.CLOSES:
                pass
            case Manner.BABBLES:
                writer.write(b"220 mail.test ready\r\n\r\n")
                await self._flush(writer)
            case Manner.CLOSES_MIDWAY:
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                await self._flush(writer)
            case Manner.CONNECTS:
                far_reader, far = await asyncio.open_connection(*self._target)
                self._writers.add(far)
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                await asyncio.gather(_copy(reader, far), _copy(far_reader, writer))
                self._writers.discard(far)

    async def _flush(self, writer: asyncio.StreamWriter) -> None:
        await writer.drain()
        writer.write_eof()
        with contextlib.suppress(OSError):
            await asyncio.sleep(0.02)


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(65_536):
            sink.write(data)
            await sink.drain()
    sink.close()


@contextlib.asynccontextmanager
async def socks_proxy(target: str, *, user: bytes, password: bytes, asked: list[bytes]) -> AsyncIterator[int]:
    """A SOCKS5 proxy that asks for a password and connects to one address; yields its port (RFC 1928, RFC 1929)."""
    host, _, port = target.rpartition(":")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            _, methods = await reader.readexactly(2)
            await reader.readexactly(methods)
            writer.write(b"\x05\x02")
            await reader.readexactly(1)
            given = [await reader.readexactly((await reader.readexactly(1))[0]) for _ in range(2)]
            writer.write(b"\x01\x00" if given == [user, password] else b"\x01\x01")
            if given == [user, password]:
                *_, kind = await reader.readexactly(4)
                assert kind == 3, "the proxy is to look the name up"
                name = await reader.readexactly((await reader.readexactly(1))[0])
                asked.append(name + b":%d" % int.from_bytes(await reader.readexactly(2), "big"))
                far_reader, far = await asyncio.open_connection(host, int(port))
                writer.write(b"\x05\x00\x00\x01" + bytes(6))
                await asyncio.gather(_copy(reader, far), _copy(far_reader, writer))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await asyncio.sleep(0)
