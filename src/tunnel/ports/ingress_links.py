"""Clients' links that come in where visitors do."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Protocol

from tunnel.ports.transport import Listener

__all__ = ["IngressLinks"]


class IngressLinks(Protocol):
    """Takes over, for life, connections that an ingress has found to ask for a link.

    An ingress finds them, and knows nothing of links; who takes them knows nothing of requests. What is taken is the
    ingress's no more: a drain of the ingress neither waits for it nor ends it.
    """

    @property
    @abstractmethod
    def accepting(self) -> bool:
        """Whether a link would be served now: while the listener serves."""

    @abstractmethod
    def listener(self, address: Callable[[], str]) -> Listener:
        """A listener that has no socket of its own: while it serves, what ingresses find becomes links.

        Args:
            address: Where clients find it, as far as that is known.
        """

    @abstractmethod
    def take(self, connection: Any, *, handshake: bytes, early: bytes) -> None:
        """Take over the connection of a WebSocket handshake that asks for a link. Only while ``accepting``.

        Args:
            connection: An asyncio transport, which is not reading, and whose protocol does nothing any more.
            handshake: The request: its line and those of its fields that concern the handshake, checked.
            early: What came after it.
        """

    @abstractmethod
    async def serve_asgi(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve an ASGI connection scope of type ``websocket`` that asks for a link, until the link is over.

        Refuses while not ``accepting``.
        """
