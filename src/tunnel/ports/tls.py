"""How a listener proves who it is."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Protocol, Self

from tunnel.domain.tls_material import TlsMaterial

__all__ = ["ListenerTls"]


class ListenerTls(Protocol):
    """A listener's TLS, whose certificates can be replaced while it listens.

    Handshakes that begin later use the new ones; connections that are open go on.
    """

    @property
    @abstractmethod
    def material(self) -> TlsMaterial:
        """What handshakes use from now on. May be asked in any thread."""

    @property
    @abstractmethod
    def context(self) -> Any:
        """An ``ssl.SSLContext`` that follows; the same object for life."""

    @property
    @abstractmethod
    def out_of_date(self) -> str:
        """Why the certificate is not valid now, as a phrase; empty when it is."""

    @property
    @abstractmethod
    def key(self) -> str:
        """Kind of the certificate's key, as ``Certificate.key`` has it."""

    @abstractmethod
    def follow(self, successor: Self) -> None:
        """Use what ``successor`` was made with from the next handshake on."""
