"""Whoever a tunnel belongs to: what it is told of the tunnel's fate."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol

from tunnel.domain.mux.multiplexer import TunnelMessage

__all__ = ["TunnelOwner"]


class TunnelOwner(Protocol):
    """Whoever registered a tunnel; told what becomes of it. Must neither block nor raise but for a peer's mistake."""

    @abstractmethod
    def on_message(self, message: TunnelMessage) -> None:
        """The peer sent a message of the tunnel itself.

        Raises:
            LinkError: It must not have.
        """

    @abstractmethod
    def on_go_away(self) -> None:
        """The peer takes no more sessions."""

    @abstractmethod
    def on_pong(self) -> None:
        """The peer answered a ping."""

    @abstractmethod
    def on_attached(self, *, resumed: bool) -> None:
        """A link is attached: the first one, or with ``resumed`` another in the place of one that was lost."""

    @abstractmethod
    def on_detached(self, reason: str) -> None:
        """The link was lost; another may come."""

    @abstractmethod
    def on_ended(self, reason: str) -> None:
        """The tunnel is over. Called once, last."""
