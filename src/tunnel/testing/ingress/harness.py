"""What the contract of ingresses needs to know about one kind of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from tunnel.ports.ingress import Ingress
from tunnel.testing.harness import Harness
from tunnel.testing.target.dialects import Dialect

__all__ = ["IngressHarness", "VisitFailed", "Visitor"]


class VisitFailed(Exception):
    """A visitor was turned away, told of an error, or cut off."""


class Visitor(ABC):
    """One conversation, from outside."""

    @abstractmethod
    async def say(self, piece: bytes) -> None:
        """Say something; waits when nobody listens.

        Raises:
            VisitFailed: It cannot be said any more.
        """

    @abstractmethod
    async def end(self) -> None:
        """Say no more; go on listening."""

    @abstractmethod
    async def hear(self) -> bytes | None:
        """Some bytes of the answer as they come; None at its end, when it is whole.

        Raises:
            VisitFailed: It is an error, or was cut off.
        """

    @abstractmethod
    async def leave(self) -> None:
        """Be gone, as by a crash; harmless after the end."""


class IngressHarness(Harness, ABC):
    """Makes ingresses of one kind, and visitors of them."""

    dialect: ClassVar[Dialect]
    """The protocol of its conversations."""

    buffered_bytes: ClassVar[int]
    """Most that lies between both ends when one does not listen, buffers of the operating system included."""

    peer: ClassVar[str] = "127.0.0.1"
    """What its streams say of where visitors come from; empty where it does not know."""

    quiet_s: ClassVar[float] = 0.2
    """Whoever speaks and gets rid of nothing for this long waits."""

    @abstractmethod
    def ingress(self, address: str | None = None) -> Ingress:
        """A new one.

        Args:
            address: Where it is to listen, as another told its address; None for anywhere.
        """

    @abstractmethod
    async def visit(self, address: str) -> Visitor:
        """Begin a conversation.

        Raises:
            VisitFailed: Nobody listens there.
        """
