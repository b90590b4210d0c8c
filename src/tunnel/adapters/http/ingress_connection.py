"""What requests see of the connection on which they came."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from tunnel.adapters.http.ingress_exchange import Exchange

__all__ = ["Connection"]


class Connection(Protocol):
    """What an exchange asks of its connection."""

    @property
    @abstractmethod
    def writing_paused(self) -> bool:
        """Whether the visitor is not ready for more."""

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Send ``data``, unless the connection is closing."""

    @abstractmethod
    def write_parts(self, parts: tuple[bytes, ...]) -> None:
        """Send ``parts`` one after the other, as ``write``."""

    @abstractmethod
    def read_on(self) -> None:
        """The exchange took what it had of its body, or waits for some."""

    @abstractmethod
    def finished(self, exchange: Exchange) -> None:
        """The response of ``exchange`` is complete."""
