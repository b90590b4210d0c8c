"""What passes between an ASGI server and the ingress, and what the ingress goes by.

Source: ASGI specification 3.0, HTTP & WebSocket protocol 2.5.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

import msgspec

from tunnel.adapters.http.forwarded import Forwarder

__all__ = [
    "AsgiReceive",
    "AsgiSend",
    "IngressSettings",
    "Message",
    "Scope",
]

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
AsgiReceive: TypeAlias = Callable[[], Awaitable[Message]]
AsgiSend: TypeAlias = Callable[[Message], Awaitable[None]]


class IngressSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What an HTTP ingress takes from visitors, and what it tells targets of them.

    Args:
        max_body_bytes: Largest request body; None means no limit.
        max_header_bytes: Largest request head: names and values of all fields, and the target.
        max_headers: Most header fields of a request.
        upload_stall_s: Seconds that a target may leave an upload waiting, while nothing of the answer moves either; 0
            means for ever. Holds on our own listener.
        forwarder: Sets X-Forwarded-* or Forwarded.
    """

    max_body_bytes: int | None = None
    max_header_bytes: int = 64 * 1024
    max_headers: int = 200
    upload_stall_s: float = 60.0
    forwarder: Forwarder = msgspec.field(default_factory=Forwarder)
