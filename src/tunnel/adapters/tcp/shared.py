"""What the connections of one ingress, or of one target, have in common."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from tunnel.adapters.tcp.deaf_watch import DeafWatch
from tunnel.domain.limits import COST_OVERHEAD_BYTES, MAX_CHUNK_COST

if TYPE_CHECKING:
    from tunnel.adapters.tcp.connection import TcpConnection

__all__ = ["CHUNK_BYTES", "READ_BYTES", "Shared"]

CHUNK_BYTES: Final = MAX_CHUNK_COST - COST_OVERHEAD_BYTES
"""The largest chunk that a session takes whole."""

READ_BYTES: Final = 3 * CHUNK_BYTES
"""Most that is read at once: as many such chunks as go into one frame of a tunnel that carries nothing else."""

_READS_AT_ONCE: Final = sys.platform != "win32"
"""Whether the event loop hands over what it has read before it reads anything else; on Windows it reads ahead."""


class Shared:
    """A buffer to read into, and the watch over those that are not read. Belongs to one event loop.

    Attributes:
        watch: Finds those that have died.
        open: Every connection that is open.
    """

    __slots__ = ("_buffer", "open", "watch")

    def __init__(self) -> None:
        self.watch = DeafWatch()
        self.open: set[TcpConnection] = set()
        self._buffer = memoryview(bytearray(READ_BYTES))

    def buffer(self) -> memoryview:
        """Where one connection may read to. As a rule they all have the same: it costs no memory to be idle."""
        return self._buffer if _READS_AT_ONCE else memoryview(bytearray(READ_BYTES))
