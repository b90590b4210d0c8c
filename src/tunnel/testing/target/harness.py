"""What the contract of targets needs to know about one kind of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager
from typing import ClassVar

from tunnel.ports.target import UpstreamTarget
from tunnel.testing.harness import Harness
from tunnel.testing.target.dialects import Dialect
from tunnel.testing.target.peer import Behaviour, Peer

__all__ = ["TargetHarness"]


class TargetHarness(Harness, ABC):
    """Makes targets of one kind, and what stands behind them."""

    dialect: ClassVar[Dialect]
    """The protocol in which it is spoken to here. A target of several has a harness for each."""

    protocols: ClassVar[frozenset[str]]
    """All protocols that the target answers; of the others it is shown that it refuses them."""

    buffered_bytes: ClassVar[int]
    """Most that lies between both ends when one does not listen, buffers of the operating system included."""

    quiet_s: ClassVar[float] = 0.2
    """Whoever speaks and gets rid of nothing for this long waits."""

    @abstractmethod
    def peer(self, behaviour: Behaviour) -> AbstractAsyncContextManager[Peer]:
        """A peer with a target that leads to it. Leaving closes the target, then the peer."""

    def nowhere(self) -> UpstreamTarget | None:
        """A target that leads to where nobody is; None where there always is somebody, as in this process."""
        return None
