"""A wake-up call that can be awaited again and again."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Protocol, TypeAlias

__all__ = ["Signal", "SignalFactory"]


class Signal(Protocol):
    """Wakes the one task that waits.

    Nothing is remembered: the waiter looks at the state before it waits. Belongs to one event loop.
    """

    @abstractmethod
    def notify(self) -> None:
        """Wake the waiter, if there is one."""

    @abstractmethod
    async def wait(self) -> None:
        """Return after the next ``notify``. At most one task waits at a time. Cancelling leaves no trace."""


SignalFactory: TypeAlias = Callable[[], Signal]
"""Makes signals for the event loop that runs."""
