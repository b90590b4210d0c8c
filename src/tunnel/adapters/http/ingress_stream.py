"""One HTTP exchange as a ``Stream``, on the ASGI channels of its request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
from anyio import CancelScope, sleep_forever

from tunnel.adapters.http.ingress_asgi_response import AsgiResponse
from tunnel.adapters.http.ingress_service import VisitorStream
from tunnel.adapters.http.ingress_types import AsgiReceive
from tunnel.domain.envelopes import BodyChunk, HttpRequest, SessionPayload
from tunnel.domain.errors import ErrorCode, SessionError

__all__ = ["AsgiStream"]

T = TypeVar("T")


class AsgiStream(VisitorStream):
    """What a target sees of one request.

    The request body is read from the server only as the target receives it, so the server's own flow control slows the
    visitor down. A request without body, or with all of it in the head, is never read from. Request trailers are not
    told by ASGI.

    Args:
        head: What ``read_head`` made of the request.
        receive: The ASGI server's.
        response: Where the answer goes.
        max_body_bytes: Largest request body; None means no limit.
        request_id: Name of the request; empty when it has none.
        peer: IP address of the visitor; empty when it has none.
    """

    def __init__(
        self,
        head: HttpRequest,
        receive: AsgiReceive,
        response: AsgiResponse,
        *,
        max_body_bytes: int | None,
        request_id: bytes = b"",
        peer: str = "",
    ) -> None:
        self.request_id = request_id
        self.peer = peer
        self._head = head
        self._receive = receive
        self._limit = max_body_bytes
        self._taken = 0
        self._blocked: set[CancelScope] = set()
        self._uploaded: Callable[[], object] | None = None
        self.response = response
        self.on_departure: Callable[[], None] | None = None
        """Called when the visitor is found gone while the body is read; is to cancel the target."""
        self.error: SessionError | None = None

    @property
    def head(self) -> HttpRequest:
        return self._head

    @property
    def answered(self) -> bool:
        return self.response.ended

    def when_uploaded(self, callback: Callable[[], object]) -> None:
        """Have ``callback`` called when all of the request is read: at once if it is."""
        if self._head.end:
            callback()
        else:
            self._uploaded = callback

    async def read_first(self) -> None:
        """Put the first part of the body into the head. Before any target sees it.

        Raises:
            SessionError: As ``receive``.
        """
        chunk = await self.receive()
        self._head = msgspec.structs.replace(self._head, body=chunk.data, end=chunk.end)

    async def receive(self) -> BodyChunk:
        while True:
            message = await self._unless_reset(self._receive)
            if message["type"] == "http.disconnect":
                if not self.response.ended:
                    if self.on_departure is not None:
                        self.on_departure()
                    await sleep_forever()
                raise SessionError(ErrorCode.CANCELLED, "the visitor left")
            data: bytes = message.get("body", b"")
            end = not message.get("more_body", False)
            if self._limit is not None:
                self._taken += len(data)
                if self._taken > self._limit:
                    self.reset(SessionError(ErrorCode.TOO_LARGE, "the request body is too large"))
                    raise self._why()
            if end and self._uploaded is not None:
                self._uploaded()
                self._uploaded = None
            if data or end:
                return BodyChunk(data, end)

    async def send(self, payload: SessionPayload) -> None:
        if self.error is not None:
            raise self._why()
        if type(payload) is BodyChunk and not payload.end:
            await self._unless_reset(lambda: self.response.write(payload))
        else:
            await self.response.write(payload)

    def reset(self, error: SessionError) -> None:
        if self.error is not None or self.response.ended:
            return
        self.error = error
        for scope in self._blocked:
            scope.cancel()

    async def _unless_reset(self, call: Callable[[], Awaitable[T]]) -> T:
        if self.error is not None:
            raise self._why()
        with CancelScope() as scope:
            self._blocked.add(scope)
            try:
                return await call()
            finally:
                self._blocked.discard(scope)
        raise self._why()

    def _why(self) -> SessionError:
        """The reset's error, afresh: the same exception raised in two tasks would mix their tracebacks."""
        assert self.error is not None
        return SessionError(self.error.code, self.error.message, detail=self.error.detail)
