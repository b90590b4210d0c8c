"""Targets that do as a check says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import anyio

from tunnel.domain.envelopes import SessionPayload
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.ports.target import ProxyTarget, Stream
from tunnel.testing.target.dialects import Dialect

__all__ = ["FLOOD_BYTES", "ScriptedTarget"]

FLOOD_BYTES: Final = 16 * 1024
"""What a flood says at a time."""


class ScriptedTarget(ProxyTarget):
    """Echoes, unless told otherwise, and notes how conversations end.

    Args:
        dialect: What it speaks.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self.script: Callable[[Stream], Awaitable[None]] = self.echo
        self.streams: list[Stream] = []
        """Of all conversations, in order."""
        self.running = 0
        """Conversations under way."""
        self.cancelled = 0
        """Conversations that were cancelled."""
        self.said_bytes = 0
        """What it got rid of in a flood."""

    async def handle(self, stream: Stream) -> None:
        self.streams.append(stream)
        self.running += 1
        try:
            await self.script(stream)
        except anyio.get_cancelled_exc_class():
            self.cancelled += 1
            raise
        finally:
            self.running -= 1

    # -- scripts

    async def echo(self, stream: Stream) -> None:
        """Say what is heard, piece by piece, and end after the end."""
        await self._begin(stream)
        payload: SessionPayload = stream.head
        while True:
            if data := self._dialect.data_of(payload):
                await stream.send(self._dialect.piece(data))
            if payload.end:
                break
            payload = await stream.receive()
        await stream.send(self._dialect.answered())

    async def flood(self, stream: Stream) -> None:
        """Speak without end, and hear nothing."""
        await self._begin(stream)
        while True:
            await stream.send(self._dialect.piece(bytes(FLOOD_BYTES)))
            self.said_bytes += FLOOD_BYTES

    async def deaf(self, stream: Stream) -> None:
        """Neither hear nor speak."""
        del stream
        await anyio.sleep_forever()

    async def cut(self, stream: Stream) -> None:
        """Say something and return, without an end."""
        await self._begin(stream)
        await stream.send(self._dialect.piece(b"what was not said to the e"))

    async def fail(self, stream: Stream) -> None:
        """Fail as targets may, before anything is said."""
        del stream
        raise SessionError(ErrorCode.UPSTREAM_UNREACHABLE, "the upstream cannot be reached")

    async def _begin(self, stream: Stream) -> None:
        begin = self._dialect.answer()
        if begin is not None:
            await stream.send(begin)
