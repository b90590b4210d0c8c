"""The requests of one connection that are not answered yet, in the order in which they came."""

from __future__ import annotations

from collections import deque
from typing import Final

from tunnel.adapters.http.ingress_exchange import Exchange
from tunnel.adapters.http.ingress_switch import Switch

__all__ = ["MAX_WAITING", "READ_AHEAD_REQUESTS", "Pipeline"]

MAX_WAITING: Final = 32
"""Requests that may wait for their turn; more than clients that pipeline at all are known to send."""

READ_AHEAD_REQUESTS: Final = 8
"""With that many waiting no more is read, so that clients who pipeline more are slowed down and not turned away."""

_READ_AHEAD_BYTES: Final = 64 * 1024
"""Of a body; with more no more is read until the target takes it."""


class Pipeline:
    """Which request is being read, which is being answered, and which wait in between.

    Its attributes are the connection's to change, without a call each: every request is in the way of it.
    """

    __slots__ = ("read", "running", "switch", "waiting")

    def __init__(self) -> None:
        self.read: Exchange | None = None
        """Whose body comes next; None when nobody wants it."""
        self.running: Exchange | None = None
        """Whose response comes next, or is under way."""
        self.waiting: deque[Exchange] = deque()
        self.switch: Switch | None = None
        """Who takes the connection over when the last request, a handshake, has its turn."""

    @property
    def last(self) -> Exchange | None:
        """The last request that is not answered."""
        return self.waiting[-1] if self.waiting else self.running

    @property
    def full(self) -> bool:
        """Whether as much has been read ahead as may be."""
        buffered_bytes = self.running.buffered_bytes if self.running is not None else 0
        for exchange in self.waiting:
            buffered_bytes += exchange.buffered_bytes
        return buffered_bytes > _READ_AHEAD_BYTES or len(self.waiting) > READ_AHEAD_REQUESTS

    def forget_unfinished(self) -> None:
        """Leave out the request that is being read, if it waits."""
        if self.waiting and not self.waiting[-1].uploaded:
            self.waiting.pop()

    def clear(self) -> None:
        """No request is to be answered."""
        self.read = self.running = None
        self.waiting.clear()
