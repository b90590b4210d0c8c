"""The two raw ends: sockets that say given bytes and keep all that they hear. Blocking, each call with a deadline."""

from __future__ import annotations

import contextlib
import select
import socket
import struct

from fidelity_bytes import folded

DEADLINE_S = 5.0
"""Of every call. What is to take no time at all takes milliseconds; this is for machines that are busy."""

_READ_BYTES = 1 << 16
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class RawSocket:
    """One TCP connection, of a visitor or of an upstream."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(DEADLINE_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = sock
        self.heard = bytearray()
        """All that has been read and not yet been taken."""

    def say(self, data: bytes) -> None:
        self.socket.sendall(data)

    def say_until_stuck(self, data: bytes, *, most_bytes: int) -> int:
        """Say ``data`` over and over while the other side takes it; returns how many bytes it took."""
        said = 0
        self.socket.settimeout(0.05)
        with contextlib.suppress(TimeoutError):
            while said < most_bytes:
                said += self.socket.send(data)
        self.socket.settimeout(DEADLINE_S)
        return said

    def say_what_is_taken(self, data: bytes) -> None:
        """Say ``data``, to somebody who may break off."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(data)

    # -- hearing

    def head(self) -> bytes:
        """A head up to and with its empty line, field names in lower case."""
        while (end := self.heard.find(b"\r\n\r\n")) < 0:
            self._hear()
        return folded(self.take(end + 4))

    def take(self, size: int) -> bytes:
        """The next ``size`` bytes."""
        while len(self.heard) < size:
            self._hear()
        taken = bytes(self.heard[:size])
        del self.heard[:size]
        return taken

    def until(self, mark: bytes) -> bytes:
        """Everything up to and with ``mark``."""
        while (at := self.heard.find(mark)) < 0:
            self._hear()
        return self.take(at + len(mark))

    def rest(self) -> bytes:
        """Everything up to the orderly end of the connection; raises ConnectionResetError when it is reset."""
        while data := self.socket.recv(_READ_BYTES):
            self.heard += data
        return self.take(len(self.heard))

    def ended(self) -> bytes:
        """Everything up to the end of the connection, whichever way it ends."""
        with contextlib.suppress(ConnectionResetError):
            while data := self.socket.recv(_READ_BYTES):
                self.heard += data
        return self.take(len(self.heard))

    def was_reset(self) -> bool:
        """Whether it is reset, before long; also after its end, which reading does not tell."""
        poll = select.poll()
        poll.register(self.socket, 0)
        return any(events & select.POLLERR for _, events in poll.poll(DEADLINE_S * 1000))

    def is_quiet(self) -> bool:
        """Whether nothing more has come by now, not even an end."""
        return not self.heard and not select.select([self.socket], [], [], 0)[0]

    def _hear(self) -> None:
        data = self.socket.recv(_READ_BYTES)
        assert data, f"the connection ended after {bytes(self.heard)!r}"
        self.heard += data

    # -- ending

    def half_close(self) -> None:
        """Say that no more comes, and go on hearing."""
        self.socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.socket.close()

    def reset(self) -> None:
        """Break the connection."""
        with contextlib.suppress(OSError):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.socket.close()


class RawUpstream:
    """A listening socket whose connections a test takes one by one.

    Args:
        backlog: Connections that wait to be taken.
        receive_bytes: What the system buffers of each; None: as much as it likes.
    """

    def __init__(self, *, backlog: int = 64, receive_bytes: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.listen(backlog)
        self.socket.settimeout(DEADLINE_S)
        self.port: int = self.socket.getsockname()[1]

    def accept(self) -> RawSocket:
        """The next connection on which something was said. Those given up without a word mean nothing."""
        while True:
            connection = RawSocket(self.socket.accept()[0])
            with contextlib.suppress(ConnectionResetError):
                if first := connection.socket.recv(_READ_BYTES):
                    connection.heard += first
                    return connection
            connection.close()

    def accept_silent(self) -> RawSocket:
        """The next connection, whether or not anything is said on it."""
        return RawSocket(self.socket.accept()[0])

    def discard(self) -> None:
        """Close every connection that nobody has taken."""
        while select.select([self.socket], [], [], 0)[0]:
            self.socket.accept()[0].close()
