"""Where outside conversations enter."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Protocol, Self

from tunnel.ports.target import ProxyTarget

__all__ = ["Ingress"]


class Ingress(Protocol):
    """A listener that makes a ``Stream`` of each conversation and gives it to a target."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Its name in logs and ready lines: ``http``."""

    @property
    @abstractmethod
    def address(self) -> str:
        """Where it listens, ``host:port`` with the real port."""

    @abstractmethod
    def bind(self) -> None:
        """Take the address, so that errors show before anything runs.

        Raises:
            ListenError: It cannot be had.
        """

    @abstractmethod
    async def serve(self, target: ProxyTarget, started: Callable[[], None]) -> None:
        """Accept conversations until drained or cancelled; calls ``started`` once it accepts.

        Everything it opened is closed when it returns.
        """

    @abstractmethod
    def follow(self, successor: Self) -> None:
        """Serve by the settings of ``successor`` from the next conversation on.

        Args:
            successor: Another of its kind, made for the same address, neither bound nor used afterwards.
        """

    @abstractmethod
    def drain(self, grace_s: float) -> None:
        """Stop accepting; conversations under way have ``grace_s`` seconds to finish, then ``serve`` returns."""
