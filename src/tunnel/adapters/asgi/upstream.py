"""The target that answers conversations by calling an ASGI application in this process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tunnel.adapters.asgi.application import AsgiApplication
from tunnel.adapters.asgi.call import ApplicationCall
from tunnel.adapters.asgi.http_call import HttpCall
from tunnel.adapters.asgi.places import Places
from tunnel.adapters.asgi.scope import http_scope, websocket_scope
from tunnel.adapters.asgi.websocket_call import WebSocketCall
from tunnel.domain.envelopes import HttpRequest
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.limits import MIB
from tunnel.ports.target import Stream, UpstreamTarget

__all__ = ["AsgiUpstream"]


class AsgiUpstream(UpstreamTarget):
    """Answers HTTP and WebSocket conversations from an application. No socket is opened.

    Bodies stream both ways: the application is given what it asks for, and its sending waits for the visitor.

    Args:
        application: Runs for as long as this is used.
        release: Called when this is closed, and no conversation is left.
        max_connections: Most calls at the same time, WebSockets apart. One counts until the application returns.
        max_waiting: Most requests that wait for a place.
        connect_timeout_s: Seconds they wait.
        first_byte_timeout_s: Seconds from the end of the request to the first of the response; None: no limit.
        max_message_bytes: Largest WebSocket message in either direction.
    """

    def __init__(
        self,
        application: AsgiApplication,
        *,
        release: Callable[[], Awaitable[None]],
        max_connections: int = 1000,
        max_waiting: int = 1000,
        connect_timeout_s: float = 5.0,
        first_byte_timeout_s: float | None = None,
        max_message_bytes: int = 16 * MIB,
    ) -> None:
        self._application = application
        self._release = release
        self._places = Places(max_connections, max_waiting=max_waiting, wait_s=connect_timeout_s)
        self._first_byte_timeout_s = first_byte_timeout_s
        self._max_message_bytes = max_message_bytes
        self._closed = False
        self._calls: set[ApplicationCall] = set()

    async def handle(self, stream: Stream) -> None:
        """Answer one conversation.

        Cancelled, which means that the visitor left, it returns when the application has, or in about a second: by
        then the application was cancelled.

        Raises:
            SessionError: ``overloaded``: no place is free; ``upstream_timeout``; ``upstream_unreachable``: the
                application cut its response short; ``bad_request``, ``protocol_error``: no application can be told of
                this request; ``refused``: closed, and nothing was called.
        """
        head = stream.head
        if self._closed:
            raise SessionError(ErrorCode.REFUSED, "the upstream is closed")
        if not isinstance(head, HttpRequest) or head.protocol not in ("http", "websocket"):
            raise SessionError(ErrorCode.PROTOCOL_ERROR, "this upstream answers HTTP and WebSocket only")
        call: ApplicationCall
        if head.protocol == "websocket":
            call = self._websocket(stream, head)
            self._application.call(call)
        else:
            await self._places.take()
            try:
                call = self._http(stream, head)
                self._application.call(call)
            except BaseException:
                self._places.give_back()
                raise
        self._calls.add(call)
        try:
            await call.finish()
        finally:
            self._calls.discard(call)

    async def aclose(self) -> None:
        """Let go of the application; conversations under way fail. Idempotent."""
        if self._closed:
            return
        self._closed = True
        for call in self._calls:
            call.lose(SessionError(ErrorCode.UPSTREAM_UNREACHABLE, "the upstream was closed"))
        await self._release()

    def _http(self, stream: Stream, head: HttpRequest) -> HttpCall:
        return HttpCall(
            stream,
            head,
            http_scope(head, self._application.state()),
            signals=self._application.signals,
            first_byte_timeout_s=self._first_byte_timeout_s,
            on_ended=self._places.give_back,
        )

    def _websocket(self, stream: Stream, head: HttpRequest) -> WebSocketCall:
        return WebSocketCall(
            stream,
            websocket_scope(head, self._application.state()),
            signals=self._application.signals,
            first_byte_timeout_s=self._first_byte_timeout_s,
            on_ended=_nothing,
            max_message_bytes=self._max_message_bytes,
        )


def _nothing() -> None:
    """A WebSocket takes no place."""
