"""A visitor that sends one request at a time over a connection of its own, with blocking sockets."""

from __future__ import annotations

import re
import socket
from types import TracebackType
from typing import Final, Self

from bench.lanes import Entrance
from bench.processes import Failed

__all__ = ["Visitor", "request_head"]

_TIMEOUT_S: Final = 30.0
_PIECE: Final = bytes(1024 * 1024)
_STATUS: Final = re.compile(rb"HTTP/1\.1 (\d{3})")
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


def request_head(entrance: Entrance, path: str, *, method: str = "GET", body_bytes: int = 0) -> bytes:
    """The head of a request, with the fields that ``entrance`` asks for."""
    fields = [("Host", entrance.address), *entrance.fields]
    if method != "GET":
        fields.append(("Content-Length", str(body_bytes)))
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields)]
    return "\r\n".join([*lines, "", ""]).encode()


class Visitor:
    """A connection; closed when its context is left.

    Args:
        entrance: Where to connect to.

    Raises:
        OSError: Nobody listens there.
    """

    def __init__(self, entrance: Entrance) -> None:
        self._entrance: Final = entrance
        host, _, port = entrance.address.rpartition(":")
        self._socket: Final = socket.create_connection((host, int(port)), timeout=_TIMEOUT_S)
        self._buffer: Final = bytearray(1024 * 1024)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._socket.close()

    def get(self, path: str) -> bytes:
        """Return a small body.

        Raises:
            Failed: The status is not 200, or the answer breaks off.
            OSError: The connection does.
        """
        self._socket.sendall(request_head(self._entrance, path))
        length, body = self._head()
        while len(body) < length:
            body += self._receive()
        return body

    def download(self, path: str) -> int:
        """Read a body and drop it; returns its size in bytes. Raises as ``get`` does."""
        self._socket.sendall(request_head(self._entrance, path))
        length, body = self._head()
        got = len(body)
        while got < length:
            read = self._socket.recv_into(self._buffer)
            if not read:
                raise Failed(f"{path} broke off after {got} bytes")
            got += read
        return got

    def upload(self, path: str, size_bytes: int) -> int:
        """Send a body of zeros; returns how much of it the upstream says has arrived. Raises as ``get`` does."""
        self._socket.sendall(request_head(self._entrance, path, method="POST", body_bytes=size_bytes))
        left = size_bytes
        while left:
            piece = memoryview(_PIECE)[:left]
            self._socket.sendall(piece)
            left -= len(piece)
        length, body = self._head()
        while len(body) < length:
            body += self._receive()
        return int(body)

    def _head(self) -> tuple[int, bytes]:
        """Length of the body, and what has come of it."""
        text = b""
        while b"\r\n\r\n" not in text:
            text += self._receive()
        head, _, rest = text.partition(b"\r\n\r\n")
        status, length = _STATUS.match(head), _LENGTH.search(head)
        if status is None or status[1] != b"200" or length is None:
            raise Failed(f"unexpected answer: {head[:80]!r}")
        return int(length[1]), rest

    def _receive(self) -> bytes:
        data = self._socket.recv(64 * 1024)
        if not data:
            raise Failed("the connection was closed before the answer was complete")
        return data
