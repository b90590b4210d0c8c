"""A conversation whose answer somebody else wants to hear of."""

from __future__ import annotations

from collections.abc import Callable

from tunnel.domain.envelopes import GrpcFrame, HttpResponse, Opening, SessionPayload
from tunnel.domain.errors import SessionError
from tunnel.domain.health import http_status
from tunnel.ports.target import Stream

__all__ = ["ObservedStream"]


class ObservedStream(Stream):
    """Passes everything on, and notes how the answer begins.

    Args:
        stream: The conversation.
        on_answer: Called when the answer has begun, with its status; 0 when that is not known yet, or there is none.
    """

    __slots__ = ("_answered", "_on_answer", "_stream", "status")

    def __init__(self, stream: Stream, on_answer: Callable[[int], None] | None = None) -> None:
        self._stream = stream
        self._on_answer = on_answer
        self._answered = False
        self.status = 0
        """Of the answer, in terms of HTTP: when it has begun, and of a gRPC call when it has ended; else 0."""

    @property
    def head(self) -> Opening:
        return self._stream.head

    async def receive(self) -> SessionPayload:
        return await self._stream.receive()

    async def send(self, payload: SessionPayload) -> None:
        self._note(payload)
        await self._stream.send(payload)

    async def conclude(self, *payloads: SessionPayload) -> None:
        for payload in payloads:
            self._note(payload)
        await self._stream.conclude(*payloads)

    def _note(self, payload: SessionPayload) -> None:
        if not self._answered:
            self._answered = True
            if type(payload) is HttpResponse:
                self.status = payload.status
            elif type(payload) is GrpcFrame and payload.end:
                self.status = http_status(payload.status)
            if self._on_answer is not None:
                self._on_answer(self.status)
        elif type(payload) is GrpcFrame and payload.end:
            self.status = http_status(payload.status)

    def reset(self, error: SessionError) -> None:
        self._stream.reset(error)
