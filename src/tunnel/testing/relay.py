"""A relay between two ends of TCP connections, which can fail as networks do. For asyncio and uvloop."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Final, cast

__all__ = ["Relay"]

_RECEIVED_BYTES: Final = 1 << 20
"""What the system keeps for each socket of a relay at most. It would allow a socket that is read as eagerly as these
more and more, as much as the machine is set to: 6 MiB here, 32 MiB there, and what a transport holds could not be told
from that."""

_NO_LINGERING: Final = struct.pack("ii", 1, 0)


class _Pipe(asyncio.Protocol):
    """Copies what one socket receives to the other, no faster than that one takes it."""

    def __init__(self, made: Callable[[], None] = lambda: None) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: _Pipe | None = None
        self._made = made
        self._early: list[bytes] = []
        """Received before the other side was connected: who speaks first, as with TLS, may do so at once."""
        self._over = False
        """Whether the end came as early."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._made()

    def data_received(self, data: bytes) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.write(data)
        else:
            self._early.append(data)

    def flush(self) -> None:
        """Pass on what came before the other side was connected."""
        early, self._early = self._early, []
        for data in early:
            self.data_received(data)
        if self._over:
            self.eof_received()

    def eof_received(self) -> bool:
        self._over = True
        if self.other is not None and self.other.transport is not None and self.other.transport.can_write_eof():
            self.other.transport.write_eof()
            if self.other._over:
                # Both directions have ended, and nothing else would close the sockets.
                for pipe in (self, self.other):
                    if pipe.transport is not None:
                        pipe.transport.close()
        return True

    def reset(self) -> None:
        """Close at once, and have the system tell the other end that this was no orderly end."""
        transport = self.transport
        if transport is not None and not transport.is_closing():
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGERING)
            transport.abort()

    def pause_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()


class Relay:
    """Passes on what comes to a port of 127.0.0.1, in both directions, with the ends of both.

    It reads no faster than the other side takes what was read. A connection that cannot be passed on is reset.

    Args:
        host: Where connections are passed on to.
        port: Its port.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target: Final = (host, port)
        self._server: asyncio.Server | None = None
        self._pipes: Final[list[_Pipe]] = []
        self._dialling: Final[set[asyncio.Task[None]]] = set()

    @property
    def port(self) -> int:
        """Where it listens, once it was started."""
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def start(self) -> None:
        """Listen on a port that is free.

        Raises:
            OSError: There is none.
        """
        listening = socket.create_server(("127.0.0.1", 0))
        # Those that it accepts inherit it.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVED_BYTES)
        self._server = await asyncio.get_running_loop().create_server(self._accept, sock=listening)

    def sever(self) -> None:
        """Reset every connection on both sides. Those made later are passed on."""
        for pipe in self._pipes:
            pipe.reset()

    async def aclose(self) -> None:
        """Stop listening, and reset what is passed on."""
        assert self._server is not None
        self._server.close()
        self.sever()
        for task in self._dialling:
            task.cancel()
        await asyncio.gather(*self._dialling, return_exceptions=True)
        await self._server.wait_closed()

    def _accept(self) -> _Pipe:
        def dial() -> None:
            task = asyncio.get_running_loop().create_task(self._dial(near, far))
            self._dialling.add(task)
            task.add_done_callback(self._dialling.discard)

        near, far = _Pipe(dial), _Pipe()
        near.other, far.other = far, near
        self._pipes.extend((near, far))
        return near

    async def _dial(self, near: _Pipe, far: _Pipe) -> None:
        assert near.transport is not None
        near.transport.pause_reading()
        loop = asyncio.get_running_loop()
        dialled = socket.socket()
        try:
            dialled.setblocking(False)
            dialled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVED_BYTES)
            await loop.sock_connect(dialled, self._target)
            await loop.create_connection(lambda: far, sock=dialled)
        except OSError:
            dialled.close()
            near.reset()
            return
        except asyncio.CancelledError:
            dialled.close()
            raise
        if near.transport.is_closing():
            far.reset()
            return
        near.flush()
        near.transport.resume_reading()
