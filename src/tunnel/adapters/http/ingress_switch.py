"""The end of HTTP on a connection: a WebSocket conversation or a link of a client takes it over."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tunnel.adapters.http.fields import pairs
from tunnel.adapters.http.ingress_exchange import Exchange
from tunnel.adapters.http.ingress_link import link_handshake
from tunnel.adapters.http.ingress_service import IngressService
from tunnel.adapters.http.ingress_websocket import WebSocketVisitor
from tunnel.domain.envelopes import Headers

if TYPE_CHECKING:
    from uvicorn.server import ServerState

    from tunnel.ports.ingress_links import IngressLinks

__all__ = ["Switch"]


class Switch:
    """A WebSocket handshake that has been read. There is no request after it.

    Args:
        fields: Of the handshake, as received.
        links: Who is to take over the connection, if it asks for a link.
    """

    __slots__ = ("_fields", "_links", "early")

    def __init__(self, fields: Headers, links: IngressLinks | None) -> None:
        self._fields = fields
        self._links = links
        self.early = b""
        """What came after the handshake."""

    def take_over(
        self, transport: asyncio.Transport, exchange: Exchange, *, service: IngressService, state: ServerState
    ) -> None:
        """Give the connection away. Whoever had it is told of nothing any more.

        Args:
            transport: The connection.
            exchange: The handshake, whose turn it is.
            service: Has the conversation handled.
            state: uvicorn's: where the connection registers.
        """
        if self._links is not None:
            self._take_over_link(transport, self._links)
            return
        visitor = WebSocketVisitor(
            transport,
            head=exchange.head,
            key=next(value for name, value in pairs(self._fields) if name == b"sec-websocket-key"),
            early=self.early,
            request_id=exchange.request_id,
            peer=exchange.peer,
            service=service,
            state=state,
        )
        transport.set_protocol(visitor)
        visitor.begin()
        transport.resume_reading()

    def _take_over_link(self, transport: asyncio.Transport, links: IngressLinks) -> None:
        if links.accepting:
            links.take(transport, handshake=link_handshake(self._fields), early=self.early)
        else:
            transport.close()  # they ended while an answer to an earlier request was under way
