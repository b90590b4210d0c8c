"""Closing a connection while the visitor still sends.

Closing with something unread resets the connection, which can cost the visitor an answer that is on its way. So we say
that no more comes, and read and drop what does, until the visitor has closed, has sent the rest, or takes too long.

Source: RFC 9112 section 9.6.
"""

from __future__ import annotations

import asyncio
from typing import Final

from tunnel.adapters.http.ingress_timer import Deadline, Due

__all__ = ["Lingering"]

_LINGER_S: Final = 30.0
"""How long the rest of an unwanted upload is read and dropped, at most; as long as nginx does."""

_LINGER_QUIET_S: Final = 5.0
"""How long, when nothing comes of it."""


class Lingering:
    """The last of a connection.

    Args:
        loop: Tells the time.
        transport: The connection; can say that no more comes, and does.
        deadline: The connection's; for ``Due.END`` from now on.
    """

    __slots__ = ("_deadline", "_loop", "_transport", "_until")

    def __init__(self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport, deadline: Deadline) -> None:
        self._loop = loop
        self._transport = transport
        self._deadline = deadline
        self._until = loop.time() + _LINGER_S
        transport.write_eof()
        self.go_on()

    def go_on(self) -> None:
        """Something came."""
        self._deadline.set(Due.END, max(0.0, min(_LINGER_QUIET_S, self._until - self._loop.time())))

    def overdue(self) -> None:
        """The deadline has come."""
        if self._transport.get_write_buffer_size():
            self._deadline.set(Due.END, _LINGER_QUIET_S)  # a visitor that reads slowly is not cut off
        else:
            self._transport.abort()
