"""Where one line for each conversation goes."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol

from tunnel.ports.telemetry import SessionEnded

__all__ = ["AccessLog"]


class AccessLog(Protocol):
    """Keeps records of conversations, beside the path that conversations take: nothing here waits for a disk.

    Methods are called on the event loop.
    """

    @abstractmethod
    async def start(self) -> None:
        """Make it ready to be written.

        Raises:
            ConfigurationError: It cannot be; naming the key.
        """

    @abstractmethod
    def wants(self) -> bool:
        """Whether the conversation that ended just now is to be recorded. Asked once for each."""

    @abstractmethod
    def record(self, record: SessionEnded) -> None:
        """Have ``record`` written some time soon, or lose it if there is no room. Neither blocks nor raises."""

    @abstractmethod
    def lost(self) -> tuple[int, str] | None:
        """How many records were lost that were not told of yet, and why; None: none, or it is too soon to say so.

        Cheap: asked with every record.
        """

    @abstractmethod
    def reopen(self) -> None:
        """Write what comes from now on to a file opened anew, so that the old one can be taken away. Does not wait."""

    @abstractmethod
    async def aclose(self) -> None:
        """Write what there is, for a second or so at most, and let go of the file. Idempotent; cannot be cancelled."""
