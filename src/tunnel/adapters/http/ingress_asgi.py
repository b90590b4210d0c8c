"""The HTTP ingress as an ASGI application, for any ASGI server and any event loop anyio runs on.

An exchange goes through these steps.

1. The head is read and checked. What is wrong with it is answered, and no target hears of it.
2. A body that directly follows the head is put into it; any other is left for the target to ask for.
3. The target handles the stream.
4. The visitor leaving cancels the target. Our own server does it (``ingress_types.DISCONNECT``). Under any other the
   exchange has a task that waits for ``http.disconnect``, from when the request has been read: ASGI has one channel
   for the body and the disconnect. Until then a target that does not read will not learn that the visitor has gone.
5. What failed before a response began is answered with a problem document. A response begun and not ended is left as
   it is: returning without completing it makes servers drop the connection, so that the visitor sees it cut short.
"""

from __future__ import annotations

import logging
from typing import Final

from anyio import create_task_group

from tunnel.adapters.http.ingress_head import HeadersTooLarge, Unsupported, Upload, read_head
from tunnel.adapters.http.ingress_response import ResponseWriter
from tunnel.adapters.http.ingress_stream import AsgiStream
from tunnel.adapters.http.ingress_types import (
    BODY_READY,
    DISCONNECT,
    AsgiReceive,
    AsgiSend,
    BodyReady,
    IngressSettings,
    Scope,
)
from tunnel.adapters.http.problem import problem
from tunnel.domain.envelopes import HttpRequest, HttpResponse
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.ports.target import ProxyTarget

__all__ = ["AsgiIngress"]

_logger: Final = logging.getLogger("tunnel.ingress")

_DEFAULTS: Final = IngressSettings()

_PROMPT: Final = frozenset({Upload.SOON, Upload.STREAMED})
"""Bodies whose first part goes with the head if it is there already."""


class AsgiIngress:
    """An ASGI 3 application that makes a ``Stream`` of each HTTP request and gives it to ``target``.

    The target is cancelled when the visitor leaves. Failures before the response began become problem documents,
    later ones abort the response. WebSocket handshakes are refused with 501 where the server can say so, else closed.
    Lifespan events are answered and mean nothing. May be mounted below a path: the full raw path is forwarded.

    Args:
        target: Handles the conversations; called concurrently.
        settings: Limits on requests, and what is told of the visitor.
    """

    def __init__(self, target: ProxyTarget, *, settings: IngressSettings = _DEFAULTS) -> None:
        self._target = target
        self._settings = settings

    def follow(self, settings: IngressSettings) -> None:
        """Go by other settings from the next request on."""
        self._settings = settings

    async def __call__(self, scope: Scope, receive: AsgiReceive, send: AsgiSend) -> None:
        """Serve one ASGI connection scope.

        Raises:
            ValueError: The scope type is none of http, websocket, lifespan.
        """
        match scope["type"]:
            case "http":
                await self._serve_http(scope, receive, send)
            case "websocket":
                await _refuse_websocket(scope, receive, send)
            case "lifespan":
                await _serve_lifespan(receive, send)
            case other:
                raise ValueError(f"unknown ASGI scope type {other!r}")

    async def _serve_http(self, scope: Scope, receive: AsgiReceive, send: AsgiSend) -> None:
        response = ResponseWriter(scope, send)
        try:
            head, upload = read_head(scope, self._settings)
        except SessionError as error:
            await _answer(response, _refusal(error))
            return
        extensions = scope.get("extensions") or {}
        if DISCONNECT not in extensions:
            await self._serve_watching(head, upload, receive, response)
            return
        ready: BodyReady = extensions[BODY_READY]
        stream = AsgiStream(head, receive, response, max_body_bytes=self._settings.max_body_bytes)
        await self._exchange(stream, read_first=upload in _PROMPT and ready())

    async def _serve_watching(
        self, head: HttpRequest, upload: Upload, receive: AsgiReceive, response: ResponseWriter
    ) -> None:
        async def watch() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            if not response.ended:
                exchange.cancel_scope.cancel()

        async with create_task_group() as exchange:
            stream = AsgiStream(head, receive, response, max_body_bytes=self._settings.max_body_bytes)
            stream.on_departure = exchange.cancel_scope.cancel
            stream.when_uploaded(lambda: exchange.start_soon(watch))
            await self._exchange(stream, read_first=upload is Upload.SOON)
            exchange.cancel_scope.cancel()

    async def _exchange(self, stream: AsgiStream, *, read_first: bool) -> None:
        response = stream.response
        try:
            if read_first:
                await stream.read_first()
            await self._target.handle(stream)
            error = stream.error or _UNANSWERED
        except SessionError as exc:
            error = stream.error or exc
        except Exception:
            _logger.exception("A target failed on %s %r", stream.head.method, stream.head.path)
            error = _UNEXPECTED
        if not response.started:
            await _answer(response, problem(error))


_UNANSWERED: Final = SessionError(ErrorCode.INTERNAL, "the request was not answered")
_UNEXPECTED: Final = SessionError(ErrorCode.INTERNAL, "the request could not be handled")


async def _answer(response: ResponseWriter, answer: HttpResponse) -> None:
    try:
        await response.write(answer)
    except SessionError as exc:
        _logger.debug("Nobody to tell that %s", exc)  # the visitor left


def _refusal(error: SessionError) -> HttpResponse:
    if isinstance(error, HeadersTooLarge):
        return problem(error, status=431)
    if isinstance(error, Unsupported):
        return problem(error, status=501)
    return problem(error)


async def _refuse_websocket(scope: Scope, receive: AsgiReceive, send: AsgiSend) -> None:
    await receive()  # websocket.connect
    if "websocket.http.response" not in (scope.get("extensions") or ()):
        await send({"type": "websocket.close", "code": 1011, "reason": "WebSocket is not supported here"})
        return
    answer = _refusal(Unsupported(ErrorCode.BAD_REQUEST, "WebSocket is not supported here"))
    flat = iter(answer.headers)
    headers = list(zip(flat, flat, strict=True))
    await send({"type": "websocket.http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": answer.body, "more_body": False})


async def _serve_lifespan(receive: AsgiReceive, send: AsgiSend) -> None:
    while True:
        event = (await receive())["type"]
        await send({"type": f"{event}.complete"})
        if event == "lifespan.shutdown":
            return
