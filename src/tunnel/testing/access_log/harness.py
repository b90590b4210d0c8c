"""What the contract of access logs needs to know about one kind of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from tunnel.ports.access_log import AccessLog
from tunnel.testing.harness import Harness

__all__ = ["AccessLogHarness"]


class AccessLogHarness(Harness, ABC):
    """Makes access logs of one kind, all of which write to one place."""

    loses: ClassVar[bool] = True
    """Whether it loses what it has no room for, and ``block`` and ``spoil`` work; if not, it writes everything."""

    waiting_records: ClassVar[int] = 0
    """Most records that wait to be written, if it loses any; 10,000 at most."""

    rotates: ClassVar[bool] = True
    """Whether what was written can be taken away, as ``take_away`` does; if not, it opens nothing to write to."""

    @abstractmethod
    def log(self) -> AccessLog:
        """A new one that is not started, and wants every conversation."""

    @abstractmethod
    def written(self) -> list[str]:
        """The lines that are where logs go now, each with all texts of its record."""

    def faulty(self) -> AccessLog | None:
        """One that cannot be made ready; None where each can, since none opens anything."""
        return None

    def take_away(self) -> list[str]:
        """Put aside what was written, so that it counts no more; what it is."""
        raise NotImplementedError("a log that rotates has this")

    def block(self) -> None:
        """Let writing wait until ``unblock``."""
        raise NotImplementedError("a log that loses records has this")

    def unblock(self) -> None:
        """Let writing go on."""
        raise NotImplementedError("a log that loses records has this")

    def spoil(self) -> None:
        """Let writing fail from now on."""
        raise NotImplementedError("a log that loses records has this")
