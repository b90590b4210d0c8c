"""What the operating system knows of a connection and the event loop does not know yet.

Sockets are asked behind the event loop's back, without taking anything from it that it would miss.
"""

from __future__ import annotations

import asyncio
import os
import select
from collections.abc import Iterator
from typing import Final, cast

__all__ = ["is_quiet", "unread"]

_UNREAD_BYTES: Final = 256 * 1024
"""Most that is read from a connection on which writing failed; an early answer is rarely larger."""


def is_quiet(transport: asyncio.Transport) -> bool:
    """Whether nothing has arrived, no end either. Costs a system call; True where it cannot be told."""
    fileno = _fileno(transport)
    if fileno < 0 or not hasattr(select, "poll"):
        return True
    poll = select.poll()
    poll.register(fileno, select.POLLIN)
    return not poll.poll(0)


def unread(transport: asyncio.Transport) -> Iterator[bytes]:
    """What arrived before a connection broke, in pieces; nothing with TLS.

    When writing fails the event loop reads no more, though an early answer, a 413 for instance, may lie in the
    operating system's buffer. The socket is open until ``connection_lost`` returns.
    """
    if transport.get_extra_info("ssl_object") is not None:
        return
    left_bytes = _UNREAD_BYTES
    while left_bytes > 0:
        try:
            data = os.read(_fileno(transport), left_bytes)
        except OSError:
            return
        if not data:
            return
        left_bytes -= len(data)
        yield data


def _fileno(transport: asyncio.Transport) -> int:
    sock = transport.get_extra_info("socket")
    return -1 if sock is None else cast(int, sock.fileno())
