"""A conversation whose answer tells which way it came."""

from __future__ import annotations

from tunnel.domain.envelopes import SessionPayload
from tunnel.domain.route import Route, told
from tunnel.ports.stream_around import StreamAround
from tunnel.ports.target import Stream

__all__ = ["MarkedStream"]


class MarkedStream(StreamAround):
    """Passes everything on, and adds the route to the head of the answer.

    Args:
        stream: The conversation.
        route: What its answer says.
    """

    __slots__ = ("_answered", "_route")

    def __init__(self, stream: Stream, route: Route) -> None:
        super().__init__(stream)
        self._route = route
        self._answered = False

    async def send(self, payload: SessionPayload) -> None:
        if not self._answered:
            self._answered = True
            payload = told(payload, self._route)
        await self.inner.send(payload)
