"""An HTTP/1.1 upstream on a raw asyncio protocol: ``python -m bench.upstream_server PORT MIB``.

| request | answer |
| --- | --- |
| GET /small, /body | `ok`, 10 KiB |
| GET /large | MIB MiB |
| POST /upload | how many bytes arrived |
| GET /events | an event stream, which ends with the connection |
| POST /publish | an event to every open stream; the answer is how many those are |

It understands what the load generators and tunnels here send: no bodies but those with a length.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Iterator
from itertools import repeat
from typing import Final, cast

import uvloop

__all__ = ["BODY", "EVENT", "MIB", "SMALL"]

SMALL: Final = b"ok\n"
BODY: Final = b"0123456789abcde\n" * 640
EVENT: Final = b"data: %s\n\n" % (b"x" * 92)
"""100 bytes."""

MIB: Final = 1024 * 1024
_PIECE: Final = bytes(64 * 1024)
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_EVENT_CHUNK: Final = b"%x\r\n%s\r\n" % (len(EVENT), EVENT)


def _answer(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


_FIXED: Final = {b"/small": _answer(SMALL), b"/body": _answer(BODY)}


class _Upstream(asyncio.Protocol):
    subscribers: Final[set[asyncio.Transport]] = set()
    large_mib = 0

    def __init__(self) -> None:
        self._pending = b""
        self._path = b""
        self._body_bytes = 0
        self._left_bytes = 0
        self._pieces: Iterator[bytes] = iter(())
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.subscribers.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        if self._left_bytes > len(data):
            self._left_bytes -= len(data)
            return
        if self._left_bytes:
            data, self._left_bytes = data[self._left_bytes :], 0
            self._respond()
        *heads, self._pending = (self._pending + data).split(b"\r\n\r\n")
        for head in heads:
            self._path = head.split(b" ", 2)[1]
            length = _LENGTH.search(head)
            self._body_bytes = int(length[1]) if length else 0
            if self._body_bytes > len(self._pending):
                self._left_bytes = self._body_bytes - len(self._pending)
                self._pending = b""
                return
            self._pending = self._pending[self._body_bytes :]
            self._respond()

    def _respond(self) -> None:
        if (fixed := _FIXED.get(self._path)) is not None:
            self._transport.write(fixed)
        elif self._path == b"/upload":
            self._transport.write(_answer(b"%d\n" % self._body_bytes))
        elif self._path == b"/events":
            self._transport.write(_CHUNKED)
            self.subscribers.add(self._transport)
        elif self._path == b"/publish":
            for subscriber in self.subscribers:
                subscriber.write(_EVENT_CHUNK)
            self._transport.write(_answer(b"%d\n" % len(self.subscribers)))
        else:
            size = self.large_mib * MIB
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
            self._pieces = repeat(_PIECE, size // len(_PIECE))
            self._pump()

    def _pump(self) -> None:
        while not self._paused and (piece := next(self._pieces, None)) is not None:
            self._transport.write(piece)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._pump()


async def _serve(port: int, large_mib: int) -> None:
    _Upstream.large_mib = large_mib
    server = await asyncio.get_running_loop().create_server(_Upstream, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]), int(sys.argv[2])))
