"""What ASGI calls what. Source: ASGI specification 3.0."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from typing import Any, TypeAlias

__all__ = ["AsgiCallable", "ClientDisconnected", "Message", "Receive", "Scope", "Send"]

Message: TypeAlias = MutableMapping[str, Any]
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Coroutine[Any, Any, Message]]
Send: TypeAlias = Callable[[Message], Coroutine[Any, Any, None]]
AsgiCallable: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]


class ClientDisconnected(OSError):
    """Raised to an application that sends to somebody who has left.

    Source: ASGI HTTP & WebSocket 2.4, disconnected client.
    """
