"""A conversation on its way past the tunnel."""

from __future__ import annotations

from tunnel.app.accounted_stream import AccountedStream
from tunnel.app.attempt import Attempt
from tunnel.app.marked_stream import MarkedStream
from tunnel.domain.envelopes import Opening, SessionPayload
from tunnel.domain.errors import SessionError
from tunnel.domain.route import Route
from tunnel.ports.target import Stream

__all__ = ["DirectStream"]


class DirectStream(Stream):
    """Passes a conversation on to a target, and tells ``attempt`` how it goes, as a tunnel does.

    What a tunnel that never sent it had read of the request is received first.

    Args:
        stream: The conversation.
        head: As the target is to see it.
        attempt: Of the conversation.
        marked: Whether the answer says which way it went.
    """

    __slots__ = ("_head", "_held", "_stream")

    def __init__(self, stream: Stream, head: Opening, attempt: Attempt, *, marked: bool) -> None:
        self._stream = AccountedStream(MarkedStream(stream, Route.DIRECT) if marked else stream, attempt)
        self._head = head
        # Counted when it was read. It is not begun a third time: from here on somebody may have seen it.
        self._held = list(reversed(attempt.held))
        attempt.let_go()

    @property
    def head(self) -> Opening:
        return self._head

    async def receive(self) -> SessionPayload:
        return self._held.pop() if self._held else await self._stream.receive()

    async def send(self, payload: SessionPayload) -> None:
        await self._stream.send(payload)

    def reset(self, error: SessionError) -> None:
        self._stream.reset(error)
