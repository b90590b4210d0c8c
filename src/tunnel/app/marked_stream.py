"""A conversation whose answer tells which way it came."""

from __future__ import annotations

from tunnel.domain.envelopes import Opening, SessionPayload
from tunnel.domain.errors import SessionError
from tunnel.domain.route import Route, told
from tunnel.ports.target import Stream

__all__ = ["MarkedStream"]


class MarkedStream(Stream):
    """Passes everything on, and adds the route to the head of the answer.

    Args:
        stream: The conversation.
        route: What its answer says.
    """

    __slots__ = ("_answered", "_route", "_stream")

    def __init__(self, stream: Stream, route: Route) -> None:
        self._stream = stream
        self._route = route
        self._answered = False

    @property
    def head(self) -> Opening:
        return self._stream.head

    async def receive(self) -> SessionPayload:
        return await self._stream.receive()

    async def send(self, payload: SessionPayload) -> None:
        if not self._answered:
            self._answered = True
            payload = told(payload, self._route)
        await self._stream.send(payload)

    def reset(self, error: SessionError) -> None:
        self._stream.reset(error)
