"""A WebSocket conversation with an application.

Source: ASGI HTTP & WebSocket 2.5, WebSocket; its extension for denial responses; RFC 6455 section 7.4.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, Final

from tunnel.adapters.asgi.call import FAILED, ApplicationCall
from tunnel.adapters.asgi.latch import Latch
from tunnel.adapters.asgi.response import ResponseMaker, checked_fields
from tunnel.adapters.asgi.turn import Turn
from tunnel.adapters.asgi.types import ClientDisconnected, Message, Scope
from tunnel.domain.envelopes import Headers, HttpResponse, WebSocketFrame, WebSocketOpcode
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.websocket_assembly import MessageAssembly
from tunnel.domain.websocket_close import NORMAL, close_frame, problem_of_close, split_close
from tunnel.ports.signal import SignalFactory
from tunnel.ports.target import Stream

__all__ = ["WebSocketCall"]

_ABNORMAL: Final = 1006
"""What an application is told of a visitor that left without a word (RFC 6455 section 7.1.5)."""
_INTERNAL_ERROR: Final = 1011
_SWITCHING: Final = 101
_FORBIDDEN: Final = HttpResponse(403, (b"content-length", b"0"), end=True)
"""The answer when the application closes what it has not accepted."""
_PROTOCOL_FIELD: Final = b"sec-websocket-protocol"
_TEXT: Final = WebSocketOpcode.TEXT.value
_BINARY: Final = WebSocketOpcode.BINARY.value


class _State(Enum):
    ASKED = "not accepted yet"
    DENIED = "being refused"
    OPEN = "open"
    CLOSED = "closed"
    """By the application."""
    LEFT = "closed by the visitor"


class WebSocketCall(ApplicationCall):
    """Gives an application whole messages, and takes whole messages.

    Args:
        stream: The conversation.
        asgi_scope: As of ``ApplicationCall``, and so are the others.
        max_message_bytes: Largest message in either direction.
    """

    __slots__ = (
        "_accepted",
        "_assembly",
        "_close",
        "_connected",
        "_denial",
        "_max_message_bytes",
        "_receiving",
        "_state",
    )

    def __init__(
        self,
        stream: Stream,
        asgi_scope: Scope,
        *,
        signals: SignalFactory,
        first_byte_timeout_s: float | None,
        on_ended: Callable[[], None],
        max_message_bytes: int,
    ) -> None:
        super().__init__(
            stream, asgi_scope, signals=signals, first_byte_timeout_s=first_byte_timeout_s, on_ended=on_ended
        )
        self._assembly = MessageAssembly(max_message_bytes)
        self._max_message_bytes = max_message_bytes
        self._receiving = Turn(signals)
        self._accepted = Latch(signals)
        self._connected = False
        self._denial = ResponseMaker("GET")
        self._state = _State.ASKED
        self._close: tuple[int, str] = (_ABNORMAL, "")
        """What the application is told of the end."""
        self.asked()

    # -- receiving

    async def receive(self) -> Message:
        if not self._connected:
            self._connected = True
            return {"type": "websocket.connect"}
        await self._accepted.wait()
        async with self._receiving:
            while not self.left.is_set:
                payload = await self.pull()
                if type(payload) is not WebSocketFrame:
                    if payload is not None:
                        self.lose(_unfit(type(payload).__name__))
                elif payload.end:
                    await self._closed_by_visitor(payload)
                else:
                    message = self._assembled(payload)
                    if message is not None:
                        return message
        code, reason = self._close
        return {"type": "websocket.disconnect", "code": code, "reason": reason}

    def _assembled(self, frame: WebSocketFrame) -> Message | None:
        try:
            message = self._assembly.add(frame)
        except SessionError as exc:
            self.lose(exc)
            return None
        if message is None:
            return None
        text = isinstance(message, str)
        return {"type": "websocket.receive", "text" if text else "bytes": message}

    async def _closed_by_visitor(self, frame: WebSocketFrame) -> None:
        """Answer with the same (RFC 6455 section 5.5.1); that ends the conversation."""
        if problem_of_close(frame.payload) is not None:
            self.lose(_unfit("a malformed close frame"))
            return
        self._close = split_close(frame.payload)
        async with self.sending:
            if self._state is _State.OPEN:
                self._state = _State.LEFT
                try:
                    await self.push(frame)
                except ClientDisconnected:
                    return  # before it was answered, and it has said why
                self.complete()

    # -- sending

    async def send(self, message: Message) -> None:
        async with self.sending:
            if self.left.is_set and self._state is not _State.CLOSED:
                raise ClientDisconnected("the visitor left")
            await self._take(message)

    async def _take(self, message: Message) -> None:
        match message["type"], self._state:
            case "websocket.accept", _State.ASKED:
                await self._accept(message)
            case "websocket.close", _State.ASKED:
                self._state = _State.CLOSED
                await self.push(_FORBIDDEN)
                self.complete()
            case "websocket.http.response.start", _State.ASKED:
                self._denial.start(message)
                self._state = _State.DENIED
            case "websocket.http.response.body", _State.DENIED:
                await self._deny(message)
            case "websocket.send", _State.OPEN:
                await self.push(self._frame(message))
            case "websocket.close", _State.OPEN:
                await self._say_close(message)
            case other, state:
                raise RuntimeError(f"unexpected {other!r} while the WebSocket is {state.value}")

    async def _accept(self, message: Message) -> None:
        headers = self._acceptance(message)
        self.answered()
        await self.push(HttpResponse(_SWITCHING, headers))
        self._state = _State.OPEN
        self._accepted.set()

    def _acceptance(self, message: Message) -> Headers:
        headers = checked_fields(message.get("headers", ()))
        if _PROTOCOL_FIELD in headers[::2]:
            raise RuntimeError("the subprotocol is chosen by 'subprotocol', not by a header field")
        chosen = message.get("subprotocol")
        if chosen is None:
            return headers
        if chosen not in self.asgi_scope["subprotocols"]:
            raise RuntimeError(f"the subprotocol {chosen!r} was not offered")
        return (*headers, _PROTOCOL_FIELD, chosen.encode())

    async def _deny(self, message: Message) -> None:
        payload = self._denial.body(message)
        self.answered()
        if payload is not None:
            await self.push(payload)
        if self._denial.complete:
            self._state = _State.CLOSED
            self.complete()

    def _frame(self, message: Message) -> WebSocketFrame:
        data: Any = message.get("bytes")
        text = message.get("text")
        if (data is None) is (text is None):
            raise RuntimeError("expected one of 'bytes' and 'text' in 'websocket.send'")
        payload = bytes(data) if text is None else text.encode()
        if len(payload) > self._max_message_bytes:
            raise RuntimeError(f"a message of {len(payload)} bytes is larger than {self._max_message_bytes}")
        return WebSocketFrame(_BINARY if text is None else _TEXT, payload)

    async def _say_close(self, message: Message) -> None:
        code, reason = message.get("code", NORMAL), message.get("reason") or ""
        frame = close_frame(code, reason)
        if problem_of_close(frame.payload) is not None:
            raise RuntimeError(f"{code!r} is not a code to close with")
        self._state = _State.CLOSED
        self._close = (code, reason)
        await self.push(frame)
        self.complete()

    # -- the end

    @property
    def unanswered(self) -> bool:
        return self._state in (_State.ASKED, _State.DENIED)

    async def conclude(self) -> None:
        if self._denial.started:
            raise SessionError(ErrorCode.UPSTREAM_UNREACHABLE, "the application cut its response short")
        async with self.sending:
            await self.push(close_frame(_INTERNAL_ERROR if self.broken else NORMAL) if not self.unanswered else FAILED)

    def _leave(self) -> None:
        super()._leave()
        self._accepted.set()


def _unfit(what: str) -> SessionError:
    return SessionError(ErrorCode.PROTOCOL_ERROR, "the conversation is malformed", detail=what)
