"""A TCP proxy that behaves like a long or a narrow link: a fixed delay each way, and a rate limit each way.

Run as a process: `shaping_proxy.py HOST:PORT [--delay-ms N] [--rate BYTES_PER_S]`. It prints `listening address=...` on
stderr and ends when its stdin does. All connections share the link, as on a real line. On SIGUSR1 it resets them all,
with whatever is on its way.

1. A pump reads a piece and books the link for it: it starts when the link is free and occupies it for length / rate.
2. The piece may leave `delay` after that moment; many are on their way at once, so delay alone costs no throughput.
3. No more than the link's own capacity (rate x delay) and a small router queue is on its way; beyond that the pump
   stops reading, and small socket buffers make the sender feel it soon.
"""

import argparse
import asyncio
import signal
import socket
import sys
import time
from collections import deque
from dataclasses import dataclass, field

from upstream_app import end_of_stdin

PIECE_BYTES = 64 * 1024
NARROW_PIECE_BYTES = 8 * 1024
# A home router's queue; with a megabyte a second it stands for 64 ms.
NARROW_QUEUE_BYTES = 64 * 1024
# Without a rate the queue only has to hold what the delay keeps on its way: 50 ms at 640 MB/s.
WIDE_QUEUE_BYTES = 32 << 20


@dataclass
class Direction:
    """One direction of the link, shared by all connections."""

    delay_s: float
    rate: float | None
    free_at: float = 0.0

    def arrival(self, length: int) -> float:
        """Book the link for a piece; return when its last byte arrives at the far end."""
        now = time.monotonic()
        if self.rate is None:
            return now + self.delay_s
        self.free_at = max(now, self.free_at) + length / self.rate
        return self.free_at + self.delay_s

    @property
    def queue_bytes(self) -> int:
        return WIDE_QUEUE_BYTES if self.rate is None else NARROW_QUEUE_BYTES + int(self.rate * self.delay_s)

    @property
    def piece_bytes(self) -> int:
        return PIECE_BYTES if self.rate is None else NARROW_PIECE_BYTES


@dataclass
class Pump:
    """Moves one connection's bytes one way."""

    direction: Direction
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    pieces: deque[tuple[float, bytes]] = field(default_factory=deque)
    queued_bytes: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.take())
                tasks.create_task(self.deliver())
        except* ConnectionError:
            self.writer.transport.abort()
        else:
            self.writer.close()

    async def take(self) -> None:
        while True:
            while self.queued_bytes >= self.direction.queue_bytes:
                await self.wait()
            piece = await self.reader.read(self.direction.piece_bytes)
            self.pieces.append((self.direction.arrival(len(piece)), piece))
            self.queued_bytes += len(piece)
            self.changed.set()
            if not piece:
                return

    async def deliver(self) -> None:
        while True:
            while not self.pieces:
                await self.wait()
            due, piece = self.pieces.popleft()
            if (early := due - time.monotonic()) > 0:
                await asyncio.sleep(early)
            if not piece:
                return
            self.writer.write(piece)
            await self.writer.drain()
            self.queued_bytes -= len(piece)
            self.changed.set()

    async def wait(self) -> None:
        self.changed.clear()
        await self.changed.wait()


class Proxy:
    def __init__(self, target: tuple[str, int], *, delay_s: float, rate: float | None) -> None:
        self.target = target
        self.up, self.down = Direction(delay_s, rate), Direction(delay_s, rate)
        self.open: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        for writer in self.open:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_socket = self.shape(socket.socket())
        try:
            await asyncio.get_running_loop().sock_connect(far_socket, self.target)
        except OSError:
            far_socket.close()
            writer.transport.abort()
            return
        far_reader, far_writer = await asyncio.open_connection(sock=far_socket, limit=self.up.piece_bytes)
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        up, down = Pump(self.up, reader, far_writer), Pump(self.down, far_reader, writer)
        self.open |= {writer, far_writer}
        try:
            await asyncio.gather(up.run(), down.run())
        finally:
            self.open -= {writer, far_writer}

    def shape(self, sock: socket.socket) -> socket.socket:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.up.rate is not None:
            # The kernel's own buffers must not hide megabytes of queue on a narrow link.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, NARROW_QUEUE_BYTES)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, NARROW_QUEUE_BYTES)
        return sock

    async def listen(self) -> asyncio.Server:
        listener = self.shape(socket.socket())
        listener.bind(("127.0.0.1", 0))
        return await asyncio.start_server(self.serve, sock=listener, limit=self.up.piece_bytes)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("target")
    parser.add_argument("--delay-ms", type=float, default=0.0)
    parser.add_argument("--rate", type=float)
    options = parser.parse_args()
    host, _, port = options.target.rpartition(":")
    proxy = Proxy((host, int(port)), delay_s=options.delay_ms / 1000, rate=options.rate)
    server = await proxy.listen()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, proxy.cut)
    near_host, near_port = server.sockets[0].getsockname()
    print(f"listening address={near_host}:{near_port}", file=sys.stderr, flush=True)
    await end_of_stdin()


if __name__ == "__main__":
    asyncio.run(main())
