"""Where operators look inside: a listener of its own."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Protocol, Self

__all__ = ["AdminListener"]


class AdminListener(Protocol):
    """Answers operators' requests about what it was made to show."""

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
    async def serve(self, started: Callable[[], None]) -> None:
        """Answer until stopped or cancelled; calls ``started`` once it accepts.

        Everything it opened is closed when it returns.
        """

    @abstractmethod
    def follow(self, successor: Self) -> None:
        """Go on as ``successor`` would, made for the same address, neither bound nor used afterwards."""

    @abstractmethod
    def stop(self) -> None:
        """Accept no more, and let ``serve`` return soon. Safe in any state."""
