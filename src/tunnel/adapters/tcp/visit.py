"""A visitor's connection, as a conversation."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from tunnel.adapters.tcp.connection import TcpConnection
from tunnel.domain.configuration.addresses import authority
from tunnel.domain.envelopes import BodyChunk, SessionPayload, TcpOpen
from tunnel.domain.errors import SessionError
from tunnel.ports.target import Stream

__all__ = ["TcpVisit"]


class TcpVisit(Stream):
    """What a target sees of a connection that was accepted.

    The head is complete when the connection is: nothing of what the visitor says is waited for, since in many
    protocols it is the server that speaks first.

    Args:
        connection: The connection.
        upstream: Which upstream it is for.
    """

    __slots__ = ("_connection", "_head", "cut_off", "peer")

    def __init__(self, connection: TcpConnection, upstream: str) -> None:
        self._connection = connection
        transport = connection.transport
        original_dst = _address(transport.get_extra_info("sockname"))
        peername = transport.get_extra_info("peername")
        self._head = TcpOpen(upstream, original_dst, _address(peername))
        self.peer = str(peername[0]) if peername else ""
        self.cut_off: SessionError | None = None

    @property
    def head(self) -> TcpOpen:
        return self._head

    # Coroutines of the connection's: another frame below every chunk would be in the way of each.

    def receive(self) -> Coroutine[Any, Any, BodyChunk]:
        return self._connection.receive()

    def send(self, payload: SessionPayload) -> Coroutine[Any, Any, None]:
        return self._connection.send(payload)

    def reset(self, error: SessionError) -> None:
        self._connection.reset()


def _address(name: tuple[Any, ...] | None) -> str:
    """``HOST:PORT``; empty when the connection was gone before anybody could ask."""
    return authority(str(name[0]), int(name[1])) if name else ""
