"""A conversation that keeps account of itself."""

from __future__ import annotations

from tunnel.app.attempt import Attempt
from tunnel.domain.envelopes import HttpResponse, SessionPayload
from tunnel.ports.stream_around import StreamAround
from tunnel.ports.target import Stream

__all__ = ["AccountedStream"]


class AccountedStream(StreamAround):
    """Passes everything on, and notes how far it got: for targets that know nothing of that.

    Args:
        stream: The conversation.
        attempt: Where it is noted.
    """

    __slots__ = ("_answered", "_attempt")

    def __init__(self, stream: Stream, attempt: Attempt) -> None:
        super().__init__(stream)
        self._attempt = attempt
        self._answered = False

    async def receive(self) -> SessionPayload:
        payload = await self.inner.receive()
        self._attempt.received_bytes += payload.carried_bytes
        return payload

    async def send(self, payload: SessionPayload) -> None:
        attempt = self._attempt
        if self._answered:
            await self.inner.send(payload)
            attempt.sent_bytes += payload.carried_bytes
        else:
            self._answered = True
            attempt.answer(payload)
            await self.inner.send(payload)
            attempt.answered(payload)
        if payload.end and type(payload) is not HttpResponse:
            attempt.end(payload)
