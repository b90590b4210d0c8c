"""Watches the conversations that a client serves: for whoever looks on, and at no cost where nobody does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from tunnel.domain.envelopes import GrpcFrame, HttpRequest, HttpResponse, Opening, SessionPayload, WebSocketFrame
from tunnel.domain.error_statuses import GRPC_STATUS, HTTP_STATUS
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.ports.clock import Clock
from tunnel.ports.target import ProxyTarget, Stream

__all__ = ["ServedSession", "ServedTarget"]

_MAX_TEXT_CHARS: Final = 1024
"""Of a path or a host in a record: heads may be larger than anybody wants to read."""

_NO_CLOSE_CODE: Final = 1005
"""Of a WebSocket that was closed without a code. Source: RFC 6455 section 7.1.5."""


class ServedSession(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A conversation that this client served is over, however it went. Holds neither query nor fields.

    Args:
        protocol: ``http``, ``grpc``, ``websocket`` or ``tcp``.
        method: Of HTTP, ``GET``; of gRPC, ``POST``; empty for TCP.
        host: The authority that was asked for; empty where the protocol does not tell.
        path: Without the query, as received, and cut after 1,024 characters; of gRPC ``/service/method``.
        outcome: ``ok``, or an error code; ``cancelled`` when the visitor left.
        status: Of the answer: the status of HTTP, the code of gRPC, the close code of a WebSocket or the status that
            refused it. That of the error where nothing was answered; 0 where there is none.
        duration_s: Seconds, from when its head came to when its answer was handed over whole.
        received_bytes: From the visitor: of bodies and messages.
        sent_bytes: To the visitor, likewise.
    """

    protocol: str
    method: str = ""
    host: str = ""
    path: str = ""
    outcome: str
    status: int = 0
    duration_s: float
    received_bytes: int = 0
    sent_bytes: int = 0


class _WatchedStream(Stream):
    """Passes everything on, and notes how the answer goes and how much was carried."""

    __slots__ = ("_stream", "answered", "received_bytes", "sent_bytes", "status")

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.peer = stream.peer
        self.answered = False
        self.status = 0
        self.received_bytes = stream.head.carried_bytes
        self.sent_bytes = 0

    @property
    def head(self) -> Opening:
        return self._stream.head

    async def receive(self) -> SessionPayload:
        payload = await self._stream.receive()
        self.received_bytes += payload.carried_bytes
        return payload

    async def send(self, payload: SessionPayload) -> None:
        await self._stream.send(payload)
        self._note(payload)

    async def conclude(self, *payloads: SessionPayload) -> None:
        await self._stream.conclude(*payloads)
        for payload in payloads:
            self._note(payload)

    def _note(self, payload: SessionPayload) -> None:
        self.sent_bytes += payload.carried_bytes
        if type(payload) is HttpResponse or (type(payload) is GrpcFrame and payload.end):
            self.status = payload.status
        elif type(payload) is WebSocketFrame and payload.end:
            self.status = int.from_bytes(payload.payload[:2], "big") or _NO_CLOSE_CODE
        self.answered = True

    def reset(self, error: SessionError) -> None:
        self._stream.reset(error)


class ServedTarget(ProxyTarget):
    """Hands conversations on, and tells of each that it began, and how it went when it is over.

    Args:
        target: Handles them.
        clock: Time.
        on_begin: Called when one has begun.
        on_end: Called once for each, when it is over. Neither may block or raise.
    """

    def __init__(
        self,
        target: ProxyTarget,
        *,
        clock: Clock,
        on_begin: Callable[[], None],
        on_end: Callable[[ServedSession], None],
    ) -> None:
        self._target = target
        self._clock = clock
        self._on_begin = on_begin
        self._on_end = on_end

    async def handle(self, stream: Stream) -> None:
        began_at = self._clock.now()
        watched = _WatchedStream(stream)
        outcome = ErrorCode.CANCELLED.value
        self._on_begin()
        try:
            await self._target.handle(watched)
            outcome = "ok"
        except SessionError as exc:
            outcome = exc.code.value
            raise
        except Exception:
            outcome = ErrorCode.INTERNAL.value
            raise
        finally:
            self._on_end(_session(watched, outcome, self._clock.now() - began_at))


def _session(stream: _WatchedStream, outcome: str, duration_s: float) -> ServedSession:
    head = stream.head
    protocol, method, host, path = "tcp", "", "", ""
    if type(head) is HttpRequest:
        protocol, method, host, path = head.protocol, head.method, _text(head.host), _text(head.path)
    elif type(head) is GrpcFrame:
        protocol, method, path = "grpc", "POST", f"/{head.service}/{head.method}"[:_MAX_TEXT_CHARS]
    status = stream.status
    if not stream.answered and outcome not in ("ok", ErrorCode.CANCELLED):
        table = GRPC_STATUS if protocol == "grpc" else HTTP_STATUS
        status = 0 if protocol == "tcp" else table[ErrorCode(outcome)]
    return ServedSession(
        protocol=protocol,
        method=method,
        host=host,
        path=path,
        outcome=outcome,
        status=status,
        duration_s=duration_s,
        received_bytes=stream.received_bytes,
        sent_bytes=stream.sent_bytes,
    )


def _text(raw: bytes) -> str:
    return raw[:_MAX_TEXT_CHARS].decode("ascii", "backslashreplace")
