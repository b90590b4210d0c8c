"""Echoes on raw asyncio protocols: ``python -m bench.echo_upstream WEBSOCKET_PORT TCP_PORT``.

One port takes WebSocket handshakes and returns every message of up to 125 bytes. What the other does is decided by the
first byte of a connection:

| first | then |
| --- | --- |
| ``E`` | every byte comes back |
| ``D`` and a size, 8 bytes | so many bytes are sent |
| ``U`` and a size, 8 bytes | so many bytes are read, and answered with one |

It understands what the load generators and tunnels here send: orders and heads that arrive whole.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Iterator
from itertools import repeat
from typing import Final, cast

import uvloop
from websockets.utils import apply_mask

from bench.websocket_frames import KEY_FIELD, acceptance

__all__ = ["ARRIVED", "DOWN", "ECHO", "SIZE_BYTES", "UP"]

ECHO: Final = b"E"
DOWN: Final = b"D"
UP: Final = b"U"
ARRIVED: Final = b"!"
SIZE_BYTES: Final = 8

_PIECE: Final = bytes(64 * 1024)
_KEY: Final = re.compile(rb"\r\n%s: *(\S+)\r\n" % KEY_FIELD, re.IGNORECASE)
_HEAD_BYTES: Final = 6
"""Of a masked frame with a short payload: two bytes, and the mask."""

_LENGTH: Final = 0x7F
_CLOSE: Final = 0x88


class _WebSocketEcho(asyncio.Protocol):
    def __init__(self) -> None:
        self._open = False
        self._pending = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._pending:
            data = self._pending + data
        if not self._open:
            head, separator, data = data.partition(b"\r\n\r\n")
            key = _KEY.search(head + b"\r\n")
            if not separator or key is None:
                self._pending = head
                return
            self._open = True
            self._transport.write(acceptance(key[1]))
        at, echoes = 0, []
        while len(data) - at >= _HEAD_BYTES:
            body = at + _HEAD_BYTES
            end = body + (data[at + 1] & _LENGTH)
            if end > len(data):
                break
            echoes.append(bytes((data[at], end - body)) + apply_mask(data[body:end], data[body - 4 : body]))
            closing = data[at] == _CLOSE
            at = end
            if closing:
                self._transport.write(b"".join(echoes))
                self._transport.close()
                return
        self._pending = data[at:]
        if echoes:
            self._transport.write(b"".join(echoes))


class _Bytes(asyncio.Protocol):
    def __init__(self) -> None:
        self._order = b""
        self._left_bytes = 0
        self._pieces: Iterator[bytes] = iter(())
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if not self._order:
            data = self._begin(data)
        if self._order == ECHO:
            self._transport.write(data)
        elif self._order == UP:
            self._left_bytes -= len(data)
            if self._left_bytes <= 0:
                self._transport.write(ARRIVED)

    def _begin(self, data: bytes) -> bytes:
        self._order = data[:1]
        if self._order == ECHO:
            return data[1:]
        size, rest = int.from_bytes(data[1 : 1 + SIZE_BYTES], "big"), data[1 + SIZE_BYTES :]
        if self._order == UP:
            self._left_bytes = size
        else:
            self._pieces = repeat(_PIECE, size // len(_PIECE))
            self._pump()
        return rest

    def _pump(self) -> None:
        while not self._paused and (piece := next(self._pieces, None)) is not None:
            self._transport.write(piece)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._pump()


async def _serve(websocket_port: int, tcp_port: int) -> None:
    loop = asyncio.get_running_loop()
    await loop.create_server(_WebSocketEcho, "127.0.0.1", websocket_port, backlog=4096)
    server = await loop.create_server(_Bytes, "127.0.0.1", tcp_port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]), int(sys.argv[2])))
