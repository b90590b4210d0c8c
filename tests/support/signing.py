"""Middleware of somebody else's."""

from __future__ import annotations

from typing import ClassVar

import anyio
import msgspec

from tunnel.ports.middleware import Middleware
from tunnel.ports.target import ProxyTarget, Stream

__all__ = ["SignOptions", "Signing"]


class SignOptions(msgspec.Struct, frozen=True):
    """What a package might bring."""

    by: str = "nobody"


class Signing(Middleware):
    """Passes conversations on once it may, and notes how many it is in."""

    Options = SignOptions
    protocols = frozenset({"http"})
    made: ClassVar[list[Signing]] = []
    """All there are; a test has a subclass of its own with its own."""

    def __init__(self, options: SignOptions) -> None:
        self.by = options.by
        self.closed = 0
        self.hold = anyio.Event()
        self.hold.set()
        self.running = 0
        type(self).made.append(self)

    async def handle(self, stream: Stream, target: ProxyTarget) -> None:
        self.running += 1
        try:
            await self.hold.wait()
            await target.handle(stream)
        finally:
            self.running -= 1

    async def aclose(self) -> None:
        self.closed += 1
