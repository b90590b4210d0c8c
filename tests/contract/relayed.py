"""Conversations whose words tasks of their own pass on, with as much room for what waits as wanted."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import anyio

from tunnel.domain.envelopes import SessionPayload
from tunnel.domain.errors import SendingStopped, SessionError
from tunnel.ports.stream_around import StreamAround
from tunnel.ports.target import Stream

__all__ = ["Relayed"]


class Relayed(StreamAround):
    """Without room it is as its inner stream: nothing is heard before it is asked for, nor said before it was taken.

    Args:
        stream: The conversation.
        heard_room: Envelopes that are received before anybody asks for them.
        said_room: Envelopes that ``send`` does not wait for to be taken.
    """

    def __init__(self, stream: Stream, *, heard_room: int = 0, said_room: int = 0) -> None:
        super().__init__(stream)
        self._heard_room, self._said_room = heard_room, said_room
        self._asked = 0
        self._heard: deque[SessionPayload] = deque()
        self._said: deque[SessionPayload] = deque()
        self._broken_off: SessionError | None = None
        self._refused: SendingStopped | SessionError | None = None
        self._changed = anyio.Event()

    async def receive(self) -> SessionPayload:
        self._asked = 1
        self._change()
        await self._until(lambda: bool(self._heard) or self._broken_off is not None)
        self._asked = 0
        if self._broken_off is not None and not self._heard:
            raise self._broken_off
        return self._heard.popleft()

    async def send(self, payload: SessionPayload) -> None:
        self._said.append(payload)
        self._change()
        await self._until(lambda: self._refused is not None or len(self._said) <= self._said_room)
        if self._refused is not None:
            raise self._refused

    async def hear(self) -> None:
        """Receive until the end."""
        end = False
        while not end:
            await self._until(lambda: len(self._heard) < self._heard_room + self._asked)
            try:
                self._heard.append(await self.inner.receive())
            except SessionError as error:
                self._broken_off = error
            end = self._broken_off is not None or self._heard[-1].end
            self._change()

    async def say(self) -> None:
        """Send until nobody listens any more."""
        while self._refused is None:
            await self._until(lambda: bool(self._said))
            try:
                await self.inner.send(self._said[0])
                self._said.popleft()
            except (SendingStopped, SessionError) as error:
                self._refused = error
            self._change()

    async def all_said(self) -> None:
        """Return when all that was sent was taken, or nobody listens any more."""
        await self._until(lambda: self._refused is not None or not self._said)

    async def _until(self, condition: Callable[[], Any]) -> None:
        while not condition():
            await self._changed.wait()

    def _change(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()
