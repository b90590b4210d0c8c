"""A harness for transports over TCP: links run through a relay that can fail as networks do."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

from support.ports import unused_port

from tunnel.ports.transport import Link, LinkService, Listener
from tunnel.testing.transport import TransportHarness

__all__ = ["Relay", "SocketHarness"]

_RECEIVED_BYTES = 1 << 20
"""What the system keeps for each socket of a relay at most. It would allow a socket that is read as eagerly as these
more and more, as much as the machine is set to: 6 MiB here, 32 MiB there, and what a transport holds could not be told
from that."""


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
    """A TCP relay on loopback. ``sever`` resets every connection that runs through it."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._server: asyncio.Server | None = None
        self._pipes: list[_Pipe] = []
        self._dialling: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def start(self) -> None:
        listening = socket.create_server(("127.0.0.1", 0))
        # Those that it accepts inherit it.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVED_BYTES)
        self._server = await asyncio.get_running_loop().create_server(self._accept, sock=listening)

    def sever(self) -> None:
        for pipe in self._pipes:
            if pipe.transport is not None:
                pipe.transport.abort()

    async def aclose(self) -> None:
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
        self._pipes += (near, far)
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
            near.transport.abort()
            return
        except asyncio.CancelledError:
            dialled.close()
            raise
        if near.transport.is_closing():
            assert far.transport is not None
            far.transport.abort()
            return
        near.flush()
        near.transport.resume_reading()


class SocketHarness(TransportHarness):
    """Listeners on ``127.0.0.1:0``, and a relay that is the network between them and the clients."""

    def __init__(self) -> None:
        self._relays: dict[str, Relay] = {}

    def listener(self) -> Listener:
        return self.listener_at("127.0.0.1:0")

    def url(self, listener: Listener) -> str:
        relay = self._relays.get(listener.address)
        return f"{self.scheme}://127.0.0.1:{relay.port}" if relay else super().url(listener)

    def nobody_url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{unused_port()}"

    async def sever(self, link: Link) -> None:
        for relay in self._relays.values():
            relay.sever()

    @asynccontextmanager
    async def serve(self, service: LinkService) -> AsyncIterator[Listener]:
        async with super().serve(service) as listener:
            host, _, port = listener.address.rpartition(":")
            relay = Relay(host, int(port))
            await relay.start()
            self._relays[listener.address] = relay
            try:
                yield listener
            finally:
                await relay.aclose()
                del self._relays[listener.address]
