"""An application that runs in this process and is reached by calling it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Protocol

__all__ = ["Application"]


class Application(Protocol):
    """An application and its life: what it does before its first conversation, and after its last."""

    @abstractmethod
    async def serve(self, started: Callable[[], None]) -> None:
        """Start it, and keep its tasks until ``aclose``; runs once.

        Args:
            started: Called when it is ready to take conversations.

        Raises:
            ConfigurationError: It will not start, and says why; ``started`` was not called then.
        """

    @abstractmethod
    async def aclose(self) -> None:
        """Let its tasks finish for a while, shut it down, and return when ``serve`` has ended. Idempotent."""
