"""A TCP upstream in the tests' own process, and visitors of it, on plain sockets."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import socket
import struct
from collections.abc import AsyncIterator, Iterator

from e2e_data import blocks
from e2e_visitor import Address

DEADLINE_S = 30.0
"""For what takes no time at all, on a machine that is busy."""

READ_BYTES = 1 << 18


class Call:
    """One connection, of a visitor or of the upstream."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.socket = sock
        self._loop = asyncio.get_running_loop()

    async def say(self, data: bytes) -> None:
        await self._loop.sock_sendall(self.socket, data)

    async def hear(self, most_bytes: int = READ_BYTES) -> bytes:
        return await self._loop.sock_recv(self.socket, most_bytes)

    async def take(self, size: int) -> bytes:
        heard = b""
        while len(heard) < size:
            data = await self.hear(size - len(heard))
            assert data, f"it ended after {heard!r}"
            heard += data
        return heard

    async def rest(self) -> bytes:
        heard = []
        while data := await self.hear():
            heard.append(data)
        return b"".join(heard)

    async def was_reset(self) -> bool:
        try:
            await self.rest()
        except ConnectionResetError:
            return True
        return False

    async def pour(self, size: int) -> None:
        """Say ``size`` bytes, which ``digest`` knows, and then no more."""
        for block in blocks(size):
            await self.say(block)
        self.half_close()

    async def drink(self) -> tuple[int, str]:
        """How many bytes come to the end, and their checksum. None of them is kept."""
        received, sha256 = 0, hashlib.sha256()
        while data := await self.hear():
            received += len(data)
            sha256.update(data)
        return received, sha256.hexdigest()

    def half_close(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        self.socket.close()


class Upstream:
    """Listens; a test takes its connections one by one."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self._socket.setblocking(False)
        self.address: Address = self._socket.getsockname()

    async def accept(self) -> Call:
        return Call((await asyncio.get_running_loop().sock_accept(self._socket))[0])

    def close(self) -> None:
        self._socket.close()


@contextlib.contextmanager
def listening() -> Iterator[Upstream]:
    upstream = Upstream()
    try:
        yield upstream
    finally:
        upstream.close()


async def dial(address: Address, *, receive_bytes: int | None = None) -> Call:
    sock = socket.socket()
    if receive_bytes is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    sock.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(sock, address)
    except OSError:
        sock.close()
        raise
    return Call(sock)


@contextlib.asynccontextmanager
async def call(address: Address, upstream: Upstream, **options: int) -> AsyncIterator[tuple[Call, Call]]:
    """Both ends of one conversation through the tunnel."""
    caller = await dial(address, **options)
    try:
        async with asyncio.timeout(DEADLINE_S):
            called = await upstream.accept()
        try:
            yield caller, called
        finally:
            called.close()
    finally:
        caller.close()
