"""The scopes that an application is called with, made of the heads of conversations.

Who the visitor is, and how it asked, is what the ingress wrote into ``X-Forwarded-*`` or ``Forwarded``: it replaces
what visitors say of that themselves.

Source: ASGI HTTP & WebSocket 2.5, connection scopes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from tunnel.adapters.asgi.types import Scope
from tunnel.domain.balancing import HashKey
from tunnel.domain.envelopes import HttpRequest
from tunnel.domain.errors import ErrorCode, SessionError

__all__ = ["http_scope", "websocket_scope"]

_ASGI: Final[Mapping[str, str]] = {"version": "3.0", "spec_version": "2.5"}
_HTTP_EXTENSIONS: Final = ("http.response.trailers",)
_WEBSOCKET_EXTENSIONS: Final = ("websocket.http.response",)

_VISITOR: Final = HashKey.parse("address")
_PROTO: Final = re.compile(rb'(?:^|[;,])[ \t]*proto="?([A-Za-z]+)', re.IGNORECASE)
_AUTHORITY: Final = re.compile(rb"(?:\[([^\]]*)\]|([^:]*))(?::([0-9]{1,5}))?")
_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_WEBSOCKET_SCHEMES: Final = {"http": "ws", "https": "wss"}
_NO_PORT: Final = 0
"""Of the visitor, whose port is nobody's business here; as uvicorn behind a proxy."""


def http_scope(head: HttpRequest, state: dict[str, Any]) -> Scope:
    """The scope of an HTTP exchange.

    Raises:
        SessionError: ``bad_request``: it cannot be told to an application.
    """
    scope = _scope(head, state)
    scope["type"] = "http"
    scope["method"] = head.method
    scope["extensions"] = {name: {} for name in _HTTP_EXTENSIONS}
    return scope


def websocket_scope(head: HttpRequest, state: dict[str, Any]) -> Scope:
    """The scope of a WebSocket conversation.

    Raises:
        SessionError: ``bad_request``: it cannot be told to an application.
    """
    scope = _scope(head, state)
    scope["type"] = "websocket"
    scope["scheme"] = _WEBSOCKET_SCHEMES.get(scope["scheme"], scope["scheme"])
    scope["subprotocols"] = [
        name.strip().decode("latin-1")
        for field, value in scope["headers"]
        if field == b"sec-websocket-protocol"
        for name in value.split(b",")
    ]
    scope["extensions"] = {name: {} for name in _WEBSOCKET_EXTENSIONS}
    return scope


def _scope(head: HttpRequest, state: dict[str, Any]) -> dict[str, Any]:
    flat = head.headers
    if len(flat) & 1:
        raise SessionError(ErrorCode.BAD_REQUEST, "a header field has no value")
    headers = [(flat[at].lower(), flat[at + 1]) for at in range(0, len(flat), 2)]
    scheme = _scheme(headers)
    visitor = _VISITOR.of(head).decode("latin-1")
    return {
        "asgi": dict(_ASGI),
        "http_version": "1.1",
        "scheme": scheme,
        "path": unquote_to_bytes(head.path).decode("utf-8", "replace"),
        "raw_path": head.path,
        "query_string": head.query or b"",
        "root_path": "",
        "headers": headers,
        "client": (visitor, _NO_PORT) if visitor else None,
        "server": _server(head.host, scheme),
        "state": state,
    }


def _scheme(headers: list[tuple[bytes, bytes]]) -> str:
    for name, value in headers:
        if name == b"x-forwarded-proto":
            return value.partition(b",")[0].strip().decode("latin-1").lower()
        if name == b"forwarded" and (found := _PROTO.search(value)) is not None:
            return found[1].decode().lower()
    return "http"


def _server(host: bytes, scheme: str) -> tuple[str, int | None] | None:
    found = _AUTHORITY.fullmatch(host)
    if not host or found is None:
        return None
    name = (found[1] or found[2] or b"").decode("latin-1")
    return name, int(found[3]) if found[3] else _PORTS.get(scheme)
