"""The namespace in which in-memory listeners and transports meet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tunnel.adapters.memory.link import MemoryLink, MemoryPair
from tunnel.domain.errors import LinkEnd, LinkError, ListenError

__all__ = ["MemoryNetwork"]


class MemoryNetwork:
    """Names and the listeners that have them.

    Nothing is shared between two networks, so that each test, and each pair of server and client, may have its own.
    Belongs to one event loop.
    """

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._acceptors: dict[str, Callable[[MemoryPair], None]] = {}
        self._pairs: dict[MemoryPair, None] = {}

    def take(self, name: str) -> None:
        """Reserve ``name`` for a listener.

        Raises:
            ListenError: Another listener has it.
        """
        if name in self._taken:
            raise ListenError(name, "the name is taken")
        self._taken.add(name)

    def release(self, name: str) -> None:
        """Give ``name`` back."""
        self._taken.discard(name)

    @contextmanager
    def accepting(self, name: str, accept: Callable[[MemoryPair], None]) -> Iterator[None]:
        """Let clients connect to ``name``; each pair is given to ``accept``, which must not block."""
        self._acceptors[name] = accept
        try:
            yield
        finally:
            del self._acceptors[name]

    def dial(self, name: str) -> MemoryLink:
        """The client's end of a new pair.

        Raises:
            LinkError: ``LinkEnd.UNREACHABLE``: nobody accepts links at ``name``.
        """
        accept = self._acceptors.get(name)
        if accept is None:
            raise LinkError(LinkEnd.UNREACHABLE, f"nobody listens on memory://{name}")
        pair = MemoryPair(name)
        self._pairs[pair] = None
        accept(pair)
        return pair.client

    def forget(self, pair: MemoryPair) -> None:
        """Drop ``pair`` from ``pairs``; called when its server's end is done with."""
        self._pairs.pop(pair, None)

    def pairs(self, name: str | None = None) -> list[MemoryPair]:
        """The pairs that a listener is serving, oldest first; only those at ``name`` when it is given."""
        return [pair for pair in self._pairs if name is None or pair.name == name]

    def sever(self, name: str | None = None) -> None:
        """Break every link, or those at ``name``."""
        for pair in self.pairs(name):
            pair.sever()

    def silence(self, name: str | None = None) -> None:
        """Make every link half-open, or those at ``name``."""
        for pair in self.pairs(name):
            pair.silence()
