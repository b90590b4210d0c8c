"""Where settings come from."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol, TypeVar

__all__ = ["ConfigSource"]

S_co = TypeVar("S_co", covariant=True)


class ConfigSource(Protocol[S_co]):
    """Yields one side's validated settings."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Where the settings are kept, for messages."""

    @abstractmethod
    def load(self) -> S_co:
        """Read and validate.

        Raises:
            ConfigurationError: Something is wrong; one error with all of the first problem.
        """
