"""Visitors of ingresses of each kind."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import grpc.aio
from contract.peers import FIXED_WINDOW, RESET

from tunnel.testing.ingress import VisitFailed, Visitor


@contextmanager
def _failing() -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, grpc.RpcError, grpc.aio.BaseError) as exc:
        raise VisitFailed(repr(exc)) from exc


class TcpVisitor(Visitor):
    """Bytes on a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def say(self, piece: bytes) -> None:
        with _failing():
            self._writer.write(piece)
            await self._writer.drain()

    async def end(self) -> None:
        with _failing():
            self._writer.write_eof()

    async def hear(self) -> bytes | None:
        with _failing():
            return await self._reader.read(1 << 16) or None

    async def leave(self) -> None:
        if not self._writer.transport.is_closing():
            # Else the system would end it in order, after which it could still be listening.
            self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self._writer.transport.abort()


class HttpVisitor(TcpVisitor):
    """A request with chunks, and a response with chunks or none."""

    _begun = False
    _ended = False

    async def begin(self) -> None:
        self._writer.write(b"POST / HTTP/1.1\r\nHost: kit.test\r\nTransfer-Encoding: chunked\r\n\r\n")
        await self._writer.drain()

    async def say(self, piece: bytes) -> None:
        await super().say(b"%x\r\n%b\r\n" % (len(piece), piece))

    async def end(self) -> None:
        await super().say(b"0\r\n\r\n")

    async def hear(self) -> bytes | None:
        with _failing():
            if not self._begun:
                head = await self._reader.readuntil(b"\r\n\r\n")
                if b" 200 " not in head or b"transfer-encoding: chunked" not in head.lower():
                    raise VisitFailed(head.decode())
                self._begun = True
            size = int(await self._reader.readuntil(b"\r\n"), 16)
            data = await self._reader.readexactly(size)
            await self._reader.readexactly(2)
            return data or None


class GrpcVisitor(Visitor):
    """A call that streams both ways, on a channel of its own."""

    def __init__(self, address: str) -> None:
        options = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0), *FIXED_WINDOW)
        self._channel = grpc.aio.insecure_channel(address, options=options)
        self._call = self._channel.stream_stream("/kit.Kit/Talk", None, None)()

    async def say(self, piece: bytes) -> None:
        with _failing():
            await self._call.write(piece)

    async def end(self) -> None:
        with _failing():
            await self._call.done_writing()

    async def hear(self) -> bytes | None:
        with _failing():
            message = await self._call.read()
            if message is not grpc.aio.EOF:
                return message
            if await self._call.code() is not grpc.StatusCode.OK:
                raise VisitFailed(str(await self._call.code()))
            return None

    async def leave(self) -> None:
        self._call.cancel()
        await self._channel.close()


async def connection(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = address.rpartition(":")
    with _failing():
        return await asyncio.open_connection(host, int(port))
