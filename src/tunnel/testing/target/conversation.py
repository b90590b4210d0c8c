"""A conversation whose other end is the check."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

import anyio
import anyio.lowlevel

from tunnel.domain.envelopes import Opening, SessionPayload
from tunnel.domain.errors import SendingStopped, SessionError
from tunnel.ports.target import Stream

__all__ = ["Conversation"]


class Conversation(Stream):
    """What a target is given: feeds it, takes what it sends, and notes what it does.

    Args:
        head: The opening.
        body: What follows it; more comes by ``feed``.
        endless: Makes what follows that, again and again; None: nothing does.
        room: Envelopes that are taken before ``send`` waits; None for no bound.
    """

    def __init__(
        self,
        head: Opening,
        body: Iterable[SessionPayload] = (),
        *,
        endless: Callable[[], SessionPayload] | None = None,
        room: int | None = None,
    ) -> None:
        self._head = head
        self._input = deque(body)
        self._endless = endless
        self._room = room
        self._changed = anyio.Event()
        self._failure: SessionError | None = None
        self._stopped = False
        self.taken: list[SessionPayload] = []
        """What the target received."""
        self.sent: list[SessionPayload] = []
        """What the target sent and was taken."""
        self.mistake = ""
        """What the target may not do and did."""
        self.on_await: Callable[[], None] = lambda: None
        """Called whenever the target awaits this."""

    @property
    def head(self) -> Opening:
        return self._head

    async def receive(self) -> SessionPayload:
        self.on_await()
        if self.taken and self.taken[-1].end:
            self.mistake = "received after the last envelope"
        await anyio.lowlevel.checkpoint()
        while not self._input:
            if self._failure is not None:
                raise self._failure
            if self._endless is not None:
                self._input.append(self._endless())
            else:
                await self._changed.wait()
        self.taken.append(self._input.popleft())
        self._change()
        return self.taken[-1]

    async def send(self, payload: SessionPayload) -> None:
        self.on_await()
        if self.ended:
            self.mistake = "sent after the last envelope"
        await anyio.lowlevel.checkpoint()
        while True:
            if self._failure is not None:
                raise self._failure
            if self._stopped:
                raise SendingStopped("cancelled")
            if self._room is None or len(self.sent) < self._room:
                break
            await self._changed.wait()
        self.sent.append(payload)
        self._change()

    def reset(self, error: SessionError) -> None:
        self.fail(error)

    # -- what the check does

    @property
    def ended(self) -> bool:
        """Whether the target said that its answer is whole."""
        return bool(self.sent) and self.sent[-1].end

    @property
    def failed(self) -> bool:
        """Whether it was reset, by the check or the target."""
        return self._failure is not None

    def feed(self, *payloads: SessionPayload) -> None:
        """Say more."""
        self._input += payloads
        self._change()

    def fail(self, error: SessionError) -> None:
        """Reset it, as when the visitor breaks off."""
        self._failure = self._failure or error
        self._change()

    def stop(self) -> None:
        """Want no more of the answer."""
        self._stopped = True
        self._change()

    def make_room(self) -> None:
        """Take whatever is sent from now on."""
        self._room = None
        self._change()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return once ``condition``, of what this notes, holds."""
        while not condition():
            await self._changed.wait()

    def _change(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()
