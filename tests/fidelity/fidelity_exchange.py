"""Bytes of a visitor, and all that became of them: what the upstream heard, and what the visitor did."""

from __future__ import annotations

import contextlib
import select
import socket
import time
from dataclasses import dataclass, field

from fidelity_bytes import asked
from fidelity_sockets import DEADLINE_S, RawSocket
from fidelity_wire import Wire
from strict_http import Incomplete, Request, read_requests

__all__ = ["Outcome", "exchange"]

_FENCE = b"/fence"
_READ_BYTES = 1 << 16


@dataclass
class Outcome:
    """What became of a visitor's bytes.

    Attributes:
        answer: All that the visitor heard.
        heard: What each connection to the upstream heard, in the order in which they were made.
        requests: The complete ones among that, in the order in which they were complete.
    """

    answer: bytes = b""
    heard: list[bytes] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)


def exchange(wire: Wire, data: bytes, *, pieces: int = 1) -> Outcome:
    """Have a visitor say ``data`` and no more, and wait until its connection has ended and the upstream is at rest.

    The upstream of ``kept.test`` answers each request with 200, no body, and the field ``x-number``: how many it had
    answered before.

    Args:
        wire: Between the two.
        data: What is said.
        pieces: How many writes it is said in.

    Raises:
        Malformed: What the upstream heard is no beginning of canonical requests.
    """
    upstream = _Answering(wire)
    size = max(1, -(-len(data) // pieces))
    with wire.scene(), contextlib.closing(upstream):
        answer = upstream.serve(wire.visitor(), [data[at : at + size] for at in range(0, len(data), size)])
        # What is asked now is heard after all that was caused before.
        upstream.serve(wire.visitor(), [asked(b"Connection: close\r\n", target=_FENCE, host=b"kept.test")])
    return Outcome(
        answer,
        [before for each in upstream.heard if (before := bytes(each).partition(b"GET %b HTTP/1.1\r\n" % _FENCE)[0])],
        [each for each in upstream.requests if each.target != _FENCE],
    )


class _Answering:
    """The upstream of ``kept.test``, which answers every request as soon as it is complete."""

    def __init__(self, wire: Wire) -> None:
        self._listening = wire.kept.socket
        self._connections: dict[socket.socket, int] = {}
        self._answered: list[int] = []
        self.heard: list[bytearray] = []
        self.requests: list[Request] = []

    def serve(self, visitor: RawSocket, pieces: list[bytes]) -> bytes:
        """Answer what there is to answer until the visitor's connection has ended; returns what it heard."""
        for piece in pieces:
            visitor.say_what_is_taken(piece)
        with contextlib.suppress(OSError):
            visitor.half_close()
        deadline = time.monotonic() + DEADLINE_S
        while True:
            ready, _, _ = select.select([visitor.socket, self._listening, *self._connections], [], [], DEADLINE_S)
            assert time.monotonic() < deadline, (bytes(visitor.heard), self.heard)
            for each in ready:
                if each is self._listening:
                    self._accept()
                elif each is not visitor.socket:
                    self._hear(each)
            if visitor.socket in ready and not (received := _receive(visitor.socket)):
                return bytes(visitor.heard)
            if visitor.socket in ready:
                visitor.heard += received

    def close(self) -> None:
        for each in self._connections:
            RawSocket(each).reset()

    def _accept(self) -> None:
        connection, _ = self._listening.accept()
        self._connections[connection] = len(self.heard)
        self.heard.append(bytearray())
        self._answered.append(0)

    def _hear(self, connection: socket.socket) -> None:
        number = self._connections[connection]
        heard = self.heard[number]
        received = _receive(connection)
        if not received:
            del self._connections[connection]
            connection.close()
            return
        heard += received
        requests, why = read_requests(bytes(heard))
        if why is not None and not isinstance(why, Incomplete):
            raise why
        for request in requests[self._answered[number] :]:
            ordinal = sum(each.target != _FENCE for each in self.requests)
            self.requests.append(request)
            with contextlib.suppress(OSError):
                connection.sendall(b"HTTP/1.1 200 OK\r\nx-number: %d\r\ncontent-length: 0\r\n\r\n" % ordinal)
        self._answered[number] = len(requests)


def _receive(sock: socket.socket) -> bytes:
    """What has come; nothing at the end of the connection, however it ended."""
    try:
        return sock.recv(_READ_BYTES)
    except ConnectionResetError:
        return b""
