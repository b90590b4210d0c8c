"""A conversation that keeps account of itself."""

from __future__ import annotations

from tunnel.app.attempt import Attempt
from tunnel.domain.envelopes import HttpResponse, Opening, SessionPayload
from tunnel.domain.errors import SessionError
from tunnel.ports.target import Stream

__all__ = ["AccountedStream"]


class AccountedStream(Stream):
    """Passes everything on, and notes how far it got: for targets that know nothing of that.

    Args:
        stream: The conversation.
        attempt: Where it is noted.
    """

    __slots__ = ("_answered", "_attempt", "_stream")

    def __init__(self, stream: Stream, attempt: Attempt) -> None:
        self._stream = stream
        self._attempt = attempt
        self._answered = False

    @property
    def head(self) -> Opening:
        return self._stream.head

    async def receive(self) -> SessionPayload:
        payload = await self._stream.receive()
        self._attempt.received_bytes += payload.carried_bytes
        return payload

    async def send(self, payload: SessionPayload) -> None:
        attempt = self._attempt
        if self._answered:
            await self._stream.send(payload)
            attempt.sent_bytes += payload.carried_bytes
        else:
            self._answered = True
            attempt.answer(payload)
            await self._stream.send(payload)
            attempt.answered(payload)
        if payload.end and type(payload) is not HttpResponse:
            attempt.end(payload)

    def reset(self, error: SessionError) -> None:
        self._stream.reset(error)
