"""What passes between an ASGI server and the ingress, and what the ingress goes by.

Source: ASGI specification 3.0, HTTP & WebSocket protocol 2.5.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

import msgspec

from tunnel.adapters.http.forwarded import Forwarder
from tunnel.domain.envelopes import Headers
from tunnel.domain.request_ids import RequestIds
from tunnel.ports.ingress_links import IngressLinks
from tunnel.ports.telemetry import Telemetry

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
        max_message_bytes: Largest message of a WebSocket visitor.
        upload_stall_s: Seconds that a target may leave an upload waiting, while nothing of the answer moves either; 0
            means for ever. Holds on our own listener.
        forwarder: Sets X-Forwarded-* or Forwarded.
        request_ids: Gives names to requests, which visitors and targets are told in X-Request-Id; None: that is a field
            like any other.
        telemetry: Told of requests that are refused before any target sees them; None: nobody is.
        keep_request_ids: Whether a request may come with a name of its own. From the forwarder's trusted proxies it may
            in any case.
        links: Take over what asks for a link at ``LINK_PATH``, which no target hears of then; None: it is a path like
            any other.
    """

    max_body_bytes: int | None = None
    max_header_bytes: int = 64 * 1024
    max_headers: int = 200
    max_message_bytes: int = 16 * 1024 * 1024
    upload_stall_s: float = 60.0
    forwarder: Forwarder = msgspec.field(default_factory=Forwarder)
    telemetry: Telemetry | None = None
    request_ids: RequestIds | None = None
    keep_request_ids: bool = True
    links: IngressLinks | None = None

    def identify(self, headers: Headers, peer: str) -> tuple[bytes, Headers]:
        """The name of a request, empty where none are given, and its fields with it.

        Args:
            headers: As received, names in lower case.
            peer: IP address of the visitor.
        """
        if self.request_ids is None:
            return b"", headers
        return self.request_ids.identify(headers, keep=self.keep_request_ids or self.forwarder.trusts(peer))
