"""Where settings come from."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol, TypeVar

__all__ = ["ConfigSource"]

S_co = TypeVar("S_co", covariant=True)


class ConfigSource(Protocol[S_co]):
    """Yields one side's validated settings, again and again, and tells when that may be worth while."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Where the settings are kept, for messages."""

    @abstractmethod
    def load(self) -> S_co:
        """Read and validate. May block, and may be called in a thread of its own, though not while it already runs.

        Raises:
            ConfigurationError: Something is wrong; one error, with all mistakes that could be told.
        """

    @abstractmethod
    async def changed(self) -> None:
        """Return once the settings differ from those that ``load`` or this saw last; waits for that.

        What a source becomes unreadable by is a change too, once: ``load`` then says why. A change under way is waited
        for, so that halves are not loaded. Cancelling loses nothing.
        """
