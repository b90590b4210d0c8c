"""The HTTP ingress as an ASGI application, for any ASGI server and any event loop anyio runs on.

An exchange goes through these steps.

1. The head is read and checked. What is wrong with it is answered, and no target hears of it.
2. A small body that is announced is read and put into it; any other is left for the target to ask for.
3. The target handles the stream.
4. The visitor leaving cancels the target. From when the request has been read, a task waits for ``http.disconnect``:
   ASGI has one channel for the body and the disconnect. Until then a target that does not read will not learn that the
   visitor has gone.
5. What failed before a response began is answered with a problem document. A response begun and not ended is left as
   it is: returning without completing it makes servers drop the connection, so that the visitor sees it cut short.

What ASGI does not tell, and what servers do on their own, is in the table of docs/reference/http.md.
"""

from __future__ import annotations

import logging
from itertools import chain
from typing import Final
from urllib.parse import quote

from anyio import create_task_group

from tunnel.adapters.http.ingress_asgi_response import AsgiResponse
from tunnel.adapters.http.ingress_asgi_websocket import AsgiWebSocket
from tunnel.adapters.http.ingress_head import Unsupported, Upload, protocol_asked, read_head, refusal
from tunnel.adapters.http.ingress_link import check_link
from tunnel.adapters.http.ingress_service import IngressService
from tunnel.adapters.http.ingress_stream import AsgiStream
from tunnel.adapters.http.ingress_target import RequestTarget, read_target
from tunnel.adapters.http.ingress_types import AsgiReceive, AsgiSend, IngressSettings, Scope
from tunnel.adapters.http.websocket_handshake import passing
from tunnel.domain.envelopes import Headers, HttpRequest, HttpResponse
from tunnel.domain.error_statuses import HTTP_STATUS
from tunnel.domain.errors import SessionError
from tunnel.domain.link_entry import LINK_PATH
from tunnel.domain.problem import problem
from tunnel.ports.target import ProxyTarget

__all__ = ["AsgiIngress"]

_logger: Final = logging.getLogger("tunnel.ingress")

_DEFAULTS: Final = IngressSettings()

_PATH_SAFE: Final = "/~:@!$&'()*+,;=-._"
"""What RFC 3986 section 3.3 allows unquoted in a path."""


class AsgiIngress:
    """An ASGI 3 application that makes a ``Stream`` of each HTTP request and WebSocket and gives it to ``target``.

    The target is cancelled when the visitor leaves. Failures before the response began become problem documents,
    later ones abort the response, or close the WebSocket. Lifespan events are answered and mean nothing. May be mounted
    below a path: the full raw path is forwarded.

    Args:
        target: Handles the conversations; called concurrently.
        settings: Limits on requests, and what is told of the visitor.
    """

    def __init__(self, target: ProxyTarget, *, settings: IngressSettings = _DEFAULTS) -> None:
        self._settings = settings
        self._service = IngressService(target, settings)

    async def __call__(self, scope: Scope, receive: AsgiReceive, send: AsgiSend) -> None:
        """Serve one ASGI connection scope.

        Raises:
            ValueError: The scope type is none of http, websocket, lifespan.
        """
        match scope["type"]:
            case "http":
                await self._serve_http(scope, receive, send)
            case "websocket":
                await self._serve_websocket(scope, receive, send)
            case "lifespan":
                await _serve_lifespan(receive, send)
            case other:
                raise ValueError(f"unknown ASGI scope type {other!r}")

    async def _serve_http(self, scope: Scope, receive: AsgiReceive, send: AsgiSend) -> None:
        settings = self._settings
        client = scope.get("client")
        peer = client[0] if client else ""
        request_id, headers = settings.identify(tuple(chain.from_iterable(scope["headers"])), peer)
        response = AsgiResponse(scope, send, request_id)
        try:
            head, upload = _read_scope(scope, headers, peer, settings)
            if settings.links is not None and _is_link_path(scope):
                check_link(head, upload, settings.links)
            if upload is Upload.SWITCH:
                raise Unsupported("WebSocket is not supported here")
        except SessionError as error:
            answer = refusal(error, request_id=request_id)
            path = _raw_path(scope)
            path = path if path.startswith(b"/") else b""
            asked = HttpRequest(scope["method"], path, protocol=protocol_asked(headers))
            self._service.refused(error, answer.status, asked, request_id=request_id, peer=peer)
            await _answer(response, answer)
            return

        async def watch() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            if not response.ended:
                exchange.cancel_scope.cancel()

        async with create_task_group() as exchange:
            stream = AsgiStream(
                head,
                receive,
                response,
                max_body_bytes=settings.max_body_bytes,
                request_id=request_id,
                peer=peer,
            )
            stream.on_departure = exchange.cancel_scope.cancel
            stream.when_uploaded(lambda: exchange.start_soon(watch))
            await self._exchange(stream, read_first=upload is Upload.SOON)
            exchange.cancel_scope.cancel()

    async def _exchange(self, stream: AsgiStream, *, read_first: bool) -> None:
        error: SessionError | None
        try:
            if read_first:
                await stream.read_first()
        except SessionError as exc:
            error = exc
            status = HTTP_STATUS[exc.code]
            self._service.refused(exc, status, stream.head, request_id=stream.request_id, peer=stream.peer)
        else:
            error = await self._service.handle(stream)
        if error is not None and not stream.response.started:
            await _answer(stream.response, problem(error, request_id=stream.request_id))

    async def _serve_websocket(self, scope: Scope, receive: AsgiReceive, send: AsgiSend) -> None:
        await receive()  # websocket.connect
        settings = self._settings
        links = settings.links if _is_link_path(scope) else None
        asked, scope = scope, _without_upgrade(scope)
        client = scope.get("client")
        peer = client[0] if client else ""
        request_id, headers = settings.identify(tuple(chain.from_iterable(scope["headers"])), peer)
        async with create_task_group() as exchange:
            refused: HttpResponse | None = None
            try:
                head, _ = _read_scope(scope, headers, peer, settings)
                if links is not None:
                    check_link(head, Upload.SWITCH, links)
            except SessionError as error:
                head, refused = HttpRequest("GET", protocol="websocket"), refusal(error, request_id=request_id)
                self._service.refused(error, refused.status, head, request_id=request_id, peer=peer)
            if links is not None and refused is None:
                await links.serve_asgi(asked, receive, send)
                return
            stream = AsgiWebSocket(
                passing(head),
                scope,
                receive,
                send,
                max_message_bytes=settings.max_message_bytes,
                on_departure=exchange.cancel_scope.cancel,
                request_id=request_id,
                peer=peer,
            )
            try:
                if refused is not None:
                    await stream.send(refused)
                    return
                failure = await self._service.handle(stream)
                if failure is not None:
                    await stream.fail(failure)
            except SessionError as exc:
                _logger.debug("Nobody to tell that %s", exc)  # the visitor left


def _without_upgrade(scope: Scope) -> Scope:
    """``scope`` as that of a request of HTTP: the server has dealt with the handshake."""
    headers = [field for field in scope["headers"] if field[0].lower() != b"upgrade"]
    return {**scope, "method": "GET", "scheme": "https" if scope.get("scheme") == "wss" else "http", "headers": headers}


def _read_scope(scope: Scope, headers: Headers, peer: str, settings: IngressSettings) -> tuple[HttpRequest, Upload]:
    """``read_head`` of an ASGI scope, which cannot tell an empty query from none.

    Raises:
        SessionError: As ``read_head``.
    """
    return read_head(
        _read_target(scope),
        headers,
        method=scope["method"],
        version=scope.get("http_version", "1.1"),
        scheme=scope.get("scheme") or "http",
        peer=peer,
        settings=settings,
    )


def _read_target(scope: Scope) -> RequestTarget:
    path = _raw_path(scope)
    query: bytes | None = scope.get("query_string") or None
    if path.startswith(b"/"):
        return RequestTarget(path, query)
    # Some servers give a URL as it came, others only its path.
    return read_target(path if query is None else path + b"?" + query, scope["method"].encode())


def _is_link_path(scope: Scope) -> bool:
    """Whether this is where links come in: below the path where this is mounted, if it is."""
    path: str = scope["path"]
    root: str = scope.get("root_path") or ""
    return path in (LINK_PATH, root + LINK_PATH)


def _raw_path(scope: Scope) -> bytes:
    """The path as received. Servers that do not tell it give it decoded, and perhaps without their mount point."""
    raw: bytes | None = scope.get("raw_path")
    if raw is not None:
        return raw
    path: str = scope["path"]
    root: str = scope.get("root_path") or ""
    if not path.startswith(root):
        path = root + path
    return quote(path, safe=_PATH_SAFE).encode()


async def _answer(response: AsgiResponse, answer: HttpResponse) -> None:
    try:
        await response.write(answer)
    except SessionError as exc:
        _logger.debug("Nobody to tell that %s", exc)  # the visitor left


async def _serve_lifespan(receive: AsgiReceive, send: AsgiSend) -> None:
    while True:
        event = (await receive())["type"]
        await send({"type": f"{event}.complete"})
        if event == "lifespan.shutdown":
            return
