"""What is asked of a connection's socket behind the event loop's back, and said to it."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import struct
from collections.abc import Iterable, Iterator
from typing import Final, Protocol, TypeVar

__all__ = ["Watchable", "failed", "prepare", "reset_on_close", "unread"]

_RESET: Final = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
"""SO_LINGER on, for 0 seconds: closing resets the connection."""

_KEEPALIVE: Final = {"TCP_KEEPIDLE": 60, "TCP_KEEPALIVE": 60, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 6}
"""Seconds of silence before the first probe (under two names), seconds between probes, and how many go unanswered: a
machine that is gone is found out in two minutes, where the system's own settings take two hours."""

_UNREAD_BYTES: Final = 256 * 1024
"""Most that is read from a connection on which writing failed."""


def prepare(transport: asyncio.Transport) -> None:
    """Have what is written sent at once, and the peer asked for a sign of life while it is silent."""
    sock = transport.get_extra_info("socket")
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        option = getattr(socket, name, None)
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


def reset_on_close(transport: asyncio.Transport) -> None:
    """Have the peer told by a reset, not by an end, when the connection is closed."""
    sock = transport.get_extra_info("socket")
    if sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


def unread(transport: asyncio.Transport) -> Iterator[bytes]:
    """What arrived before a connection broke and was not read, in pieces.

    When writing fails the event loop reads no more, though the peer's last words may lie in the operating system's
    buffer. The socket is open until ``connection_lost`` returns.
    """
    fileno = transport.get_extra_info("socket").fileno()
    left_bytes = _UNREAD_BYTES
    while left_bytes > 0:
        try:
            data = os.read(fileno, left_bytes)
        except OSError:
            return
        if not data:
            return
        left_bytes -= len(data)
        yield data


class Watchable(Protocol):
    """A connection that is not being read."""

    fileno: int
    said_end: bool
    """Whether this side has ended its direction."""


W = TypeVar("W", bound=Watchable)


def failed(connections: Iterable[W]) -> list[W]:
    """Those of ``connections`` that were reset or have timed out, as the operating system knows. One system call.

    A hang-up tells that, unless it is only both ends having said that no more comes. Nobody, where it cannot be asked.
    """
    if not hasattr(select, "poll"):
        return []
    poll = select.poll()
    asked = {each.fileno: each for each in connections}
    for fileno in asked:
        poll.register(fileno, 0)
    gone = []
    for fileno, events in poll.poll(0):
        each = asked[fileno]
        if events & select.POLLERR or (events & select.POLLHUP and not each.said_end):
            gone.append(each)
    return gone
