"""An HTTP exchange with an application.

Source: ASGI HTTP & WebSocket 2.5, HTTP; its extension for trailers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tunnel.adapters.asgi.call import FAILED, ApplicationCall
from tunnel.adapters.asgi.response import ResponseMaker, ResponseState
from tunnel.adapters.asgi.turn import Turn
from tunnel.adapters.asgi.types import ClientDisconnected, Message, Scope
from tunnel.domain.envelopes import BodyChunk, HttpRequest, SessionPayload, Trailers
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.expectation import PERMISSION, awaits_permission
from tunnel.ports.signal import SignalFactory
from tunnel.ports.target import Stream

__all__ = ["HttpCall"]

_DISCONNECT: Final = "http.disconnect"


class HttpCall(ApplicationCall):
    """Gives an application a request, and takes its response.

    The body is read when the application asks for it, so that one that does not read slows its visitor down. A body
    that the visitor sends only when asked to is asked for then, too. Trailers of requests are left out: ASGI has no
    place for them.

    Args:
        stream: The conversation.
        head: Its opening.
        asgi_scope: As of ``ApplicationCall``, and so are the others.
    """

    __slots__ = ("_expectant", "_head", "_more", "_receiving", "_response", "_unread")

    def __init__(
        self,
        stream: Stream,
        head: HttpRequest,
        asgi_scope: Scope,
        *,
        signals: SignalFactory,
        first_byte_timeout_s: float | None,
        on_ended: Callable[[], None],
    ) -> None:
        super().__init__(
            stream, asgi_scope, signals=signals, first_byte_timeout_s=first_byte_timeout_s, on_ended=on_ended
        )
        self._head = head
        self._unread = head.end or bool(head.body)
        self._more = not head.end
        self._expectant = awaits_permission(head)
        self._receiving = Turn(signals)
        self._response = ResponseMaker(head.method)
        if head.end:
            self.asked()

    async def receive(self) -> Message:
        if self._unread and not self.left.is_set:
            self._unread = False
            return _body(self._head.body, more=self._more)
        if self._more:
            async with self._receiving:
                if self._more and not self.left.is_set:
                    return await self._pull()
        await self.left.wait()
        return {"type": _DISCONNECT}

    async def _pull(self) -> Message:
        if self._expectant:
            self._expectant = False
            await self._permit()
        match await self.pull():
            case None:
                return {"type": _DISCONNECT}
            case BodyChunk() as chunk:
                self._more = not chunk.end
                data = chunk.data
            case Trailers():
                self._more = False
                data = b""
            case other:
                kind = type(other).__name__
                self.lose(SessionError(ErrorCode.PROTOCOL_ERROR, f"{kind} is not part of an HTTP request"))
                return {"type": _DISCONNECT}
        if not self._more:
            self.asked()
        return _body(data, more=self._more)

    async def _permit(self) -> None:
        """Ask for the body, unless the answer has begun, which asks for it as well."""
        async with self.sending:
            if not self._response.started:
                try:
                    await self.push(PERMISSION)
                except ClientDisconnected:
                    return  # as whoever receives is about to see

    async def send(self, message: Message) -> None:
        async with self.sending:
            if self._response.complete:
                raise RuntimeError(f"unexpected {message['type']!r} after the response is complete")
            if self.left.is_set:
                raise ClientDisconnected("the visitor left")
            payload = self._taken(message)
            if payload is not None:
                await self.push(payload)
            if self._response.complete:
                self.complete()

    def _taken(self, message: Message) -> SessionPayload | None:
        """What is to be sent now."""
        response = self._response
        state = response.state
        match message["type"]:
            case "http.response.start" if state is ResponseState.AWAITED:
                response.start(message)
                return None
            case "http.response.body" if state in (ResponseState.HELD, ResponseState.BODY):
                payload = response.body(message)
                self.answered()
                return payload
            case "http.response.trailers" if state is ResponseState.TRAILERS:
                return response.trailers(message)
            case other:
                raise RuntimeError(f"unexpected {other!r} while the response is {state.value}")

    @property
    def unanswered(self) -> bool:
        return not self._response.complete

    async def conclude(self) -> None:
        if self._response.started:
            # As of a web server that is reached and hangs up half way.
            message = "the application cut its response short"
            raise SessionError(ErrorCode.UPSTREAM_UNREACHABLE, message)
        async with self.sending:
            await self.push(FAILED)


def _body(data: bytes, *, more: bool) -> Message:
    return {"type": "http.request", "body": data, "more_body": more}
