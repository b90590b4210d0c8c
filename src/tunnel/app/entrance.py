"""Where clients, visitors or operators come in, with its beginning and its end."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Protocol, Self

__all__ = ["Entrance"]


class Entrance(Protocol):
    """A listener of either kind. Used once: bound, served, left or stopped. One that is leaving may be told to stay."""

    kind: str
    """``transport``, ``ingress``, ``entry`` or ``admin``, as the ready line says."""
    name: str
    """Of its configuration table."""
    place: str
    """Where it listens, as configured."""
    settings: object
    """What it was made of, or follows by now."""

    @property
    @abstractmethod
    def address(self) -> str:
        """Where it listens, with the real port."""

    def continues(self, other: Entrance) -> bool:
        """Whether this, as configured, is the same as ``other``, which is there already."""
        return (self.kind, self.name, self.place) == (other.kind, other.name, other.place)

    @abstractmethod
    def bind(self) -> None:
        """Take the address.

        Raises:
            ListenError: It cannot be had.
        """

    @abstractmethod
    async def serve(self, started: Callable[[], None]) -> None:
        """Let in whoever comes, until left or stopped; calls ``started`` once it accepts."""

    @abstractmethod
    def follow(self, successor: Self) -> None:
        """Go on by the settings of ``successor``, made for the same place and never bound."""

    @abstractmethod
    async def leave(self, grace_s: float) -> bool:
        """Let nobody in any more, give those inside ``grace_s`` seconds, then end.

        Returns:
            True once it has ended; False when it was told to stay.
        """

    async def stay(self, made: Entrance) -> bool:
        """Let everybody in again after all, in place of ``made``, which it continues as configured.

        Only who keeps its address while it leaves needs to: another could not have it.

        Returns:
            Whether it does. False: it cannot take that place; or not any more, and its address has been given back.
        """
        del made
        return False

    @abstractmethod
    def stop(self) -> None:
        """End at once. Safe in any state."""
