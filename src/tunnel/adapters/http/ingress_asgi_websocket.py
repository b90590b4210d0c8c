"""One WebSocket conversation as a ``Stream``, on the ASGI channels of its scope.

ASGI knows whole messages and answers the visitor's close frame by itself, before the other end has heard of it.

Source: ASGI specification, WebSocket, and its extension ``websocket.http.response``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, NoReturn, TypeVar

from anyio import CancelScope, Event, sleep_forever

from tunnel.adapters.http.fields import pairs, without
from tunnel.adapters.http.ingress_asgi_pace import Pace
from tunnel.adapters.http.ingress_response import ResponseRules, checked_acceptance
from tunnel.adapters.http.ingress_service import VisitorStream
from tunnel.adapters.http.ingress_types import AsgiReceive, AsgiSend, Message, Scope
from tunnel.adapters.http.websocket_handshake import PROTOCOL_FIELD, accepted_fields, chosen, offered
from tunnel.domain.envelopes import (
    BodyChunk,
    HttpRequest,
    HttpResponse,
    SessionPayload,
    Trailers,
    WebSocketFrame,
    WebSocketOpcode,
)
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.problem import problem
from tunnel.domain.websocket_assembly import MessageAssembly
from tunnel.domain.websocket_close import (
    MESSAGE_TOO_BIG,
    NO_CODE,
    NORMAL,
    close_frame,
    closing,
    problem_of_close,
    split_close,
)

__all__ = ["AsgiWebSocket"]

_REFUSALS: Final = "websocket.http.response"
_SUBPROTOCOL: Final = frozenset({PROTOCOL_FIELD})
_ABNORMAL: Final = 1006
_TEXT: Final = WebSocketOpcode.TEXT.value
_BINARY: Final = WebSocketOpcode.BINARY.value
_CLOSE: Final = WebSocketOpcode.CLOSE.value

T = TypeVar("T")


class AsgiWebSocket(VisitorStream):
    """What a target sees of one WebSocket.

    Messages are read from the server only as the target receives them, so its own flow control slows the visitor down;
    a target that does not receive will not learn that the visitor has gone.

    Args:
        head: The opening.
        scope: Of the WebSocket.
        receive: The ASGI server's; the connect event has been taken.
        send: The ASGI server's.
        max_message_bytes: Largest message of either side.
        on_departure: Called when the visitor is found gone; is to cancel the target.
        request_id: Name of the request; empty when it has none.
        peer: IP address of the visitor; empty when it has none.
    """

    def __init__(
        self,
        head: HttpRequest,
        scope: Scope,
        receive: AsgiReceive,
        send: AsgiSend,
        *,
        max_message_bytes: int,
        on_departure: Callable[[], None],
        request_id: bytes = b"",
        peer: str = "",
    ) -> None:
        self._head = head
        self._offers = offered(head.headers)
        self._refuses = _REFUSALS in (scope.get("extensions") or ())
        self._receive = receive
        self._send = send
        self._pace = Pace()
        self._max_message_bytes = max_message_bytes
        self._messages = MessageAssembly(max_message_bytes)
        self._on_departure = on_departure
        self.request_id = request_id
        self.peer = peer
        self._accepted = Event()
        self._refusal: ResponseRules | None = None
        self._blocked: set[CancelScope] = set()
        self._closed = False
        self._told = False
        self.error: SessionError | None = None

    @property
    def head(self) -> HttpRequest:
        return self._head

    @property
    def answered(self) -> bool:
        return self._told if self._refusal is None else self._refusal.ended

    # -- the target's side

    async def receive(self) -> WebSocketFrame:
        await self._unless_reset(self._accepted.wait)
        message = await self._unless_reset(self._receive)
        if message["type"] == "websocket.disconnect":
            return await self._disconnected(message)
        text: str | None = message.get("text")
        data: bytes = text.encode() if text is not None else message["bytes"]
        if len(data) > self._max_message_bytes:
            await self._close(close_frame(MESSAGE_TOO_BIG, f"over {self._max_message_bytes} bytes"))
            await self._depart()
        return WebSocketFrame(_TEXT if text is not None else _BINARY, data)

    async def send(self, payload: SessionPayload) -> None:
        if self.error is not None:
            raise self._why()
        if self._refusal is not None:
            await self._unless_reset(lambda: self._refuse_on(payload))
        elif type(payload) is WebSocketFrame and self._accepted.is_set():
            await self._say(payload)
        elif type(payload) is HttpResponse and not self._accepted.is_set() and not payload.more:
            if payload.status == 101:
                await self._accept(payload)
            elif payload.status >= 200:
                await self._refuse(payload)
        else:
            detail = f"{type(payload).__name__} in a WebSocket conversation"
            raise SessionError(ErrorCode.PROTOCOL_ERROR, "the upstream's answer is malformed", detail=detail)

    def reset(self, error: SessionError) -> None:
        if self.error is not None or self.answered:
            return
        self.error = error
        for scope in self._blocked:
            scope.cancel()

    async def fail(self, error: SessionError) -> None:
        """Tell the visitor of ``error``, as far as there is a way left."""
        self.error = None
        if self._accepted.is_set():
            await self._close(closing(error))
        elif self._refusal is None or not self._refusal.started:
            await self._refuse(problem(error, request_id=self.request_id))

    # -- messages

    async def _say(self, frame: WebSocketFrame) -> None:
        if frame.opcode == _CLOSE:
            wrong = problem_of_close(frame.payload)
            if wrong is not None:
                raise SessionError(ErrorCode.PROTOCOL_ERROR, "the conversation is malformed", detail=wrong[1])
            self._told = True
            await self._close(frame if frame.payload else close_frame(NORMAL))
            return
        await self._pace.keep()
        message = self._messages.add(frame)
        if message is not None and not self._closed:
            kind = "text" if isinstance(message, str) else "bytes"
            await self._unless_reset(lambda: self._hand_on({"type": "websocket.send", kind: message}))

    async def _close(self, frame: WebSocketFrame) -> None:
        if not self._closed:
            self._closed = True
            code, reason = split_close(frame.payload)
            await self._hand_on({"type": "websocket.close", "code": code, "reason": reason})

    async def _disconnected(self, message: Message) -> WebSocketFrame:
        """The visitor's close frame, as far as the server tells of one. It has been answered already."""
        self._closed = True
        code = message.get("code") or NO_CODE
        frame = close_frame(code, message.get("reason") or "")
        if code == _ABNORMAL or problem_of_close(frame.payload) is not None:
            await self._depart()
        return frame

    async def _depart(self) -> NoReturn:
        """Wait to be cancelled."""
        self._on_departure()
        while True:
            await sleep_forever()

    # -- answers to the handshake

    async def _accept(self, response: HttpResponse) -> None:
        fields = accepted_fields(checked_acceptance(response.headers, self.request_id))
        subprotocol = chosen(fields, self._offers)
        headers = [(name.lower(), value) for name, value in pairs(without(fields, _SUBPROTOCOL))]
        name = None if subprotocol is None else subprotocol.decode("ascii")
        await self._hand_on({"type": "websocket.accept", "subprotocol": name, "headers": headers})
        self._accepted.set()

    async def _refuse(self, response: HttpResponse) -> None:
        """Answer with a response of HTTP; where the server cannot say it, with its own, which mostly is 403."""
        rules = ResponseRules("GET", self.request_id)
        rules.admit(response)
        headers, body = rules.head(response)
        self._refusal = rules
        rules.started = True
        if not self._refuses:
            rules.ended = response.end
            await self._hand_on({"type": "websocket.close"})
            return
        fields = [(name.lower(), value) for name, value in pairs(headers)]
        await self._hand_on({"type": f"{_REFUSALS}.start", "status": response.status, "headers": fields})
        await self._write_body(rules, body, end=response.end)

    async def _refuse_on(self, payload: SessionPayload) -> None:
        rules = self._refusal
        assert rules is not None
        rules.admit(payload)
        if type(payload) is BodyChunk:
            await self._write_body(rules, rules.body(payload), end=payload.end)
        elif type(payload) is Trailers:
            rules.trailers(payload)
            await self._write_body(rules, b"", end=True)

    async def _write_body(self, rules: ResponseRules, data: bytes, *, end: bool) -> None:
        rules.ended = end
        if self._refuses and (data or end):
            await self._hand_on({"type": f"{_REFUSALS}.body", "body": data, "more_body": not end})

    # -- inside

    async def _hand_on(self, message: Message) -> None:
        try:
            await self._send(message)
        except OSError as exc:  # since ASGI 2.4, from servers that tell a sender so
            raise SessionError(ErrorCode.CANCELLED, "the visitor left") from exc

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
