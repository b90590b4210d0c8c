"""A tree over sequences of keys that finds everything lying on the way to one, the closest first."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Generic, TypeVar

__all__ = ["Trie"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class _Node(Generic[K, V]):
    __slots__ = ("at", "below", "children")

    def __init__(self) -> None:
        self.children: dict[K, _Node[K, V]] | None = None  # most nodes are leaves: keep them small
        self.at: V | None = None
        self.below: V | None = None


class Trie(Generic[K, V]):
    """Values stored *at* a sequence of keys, found by that sequence alone, or *below* it, found by all that start so.

    Hosts use it with labels read from the right, paths with segments. The cost of a lookup grows with the number of
    keys walked, not with the number of values stored.

    Args:
        below_itself: Whether what is stored below a sequence is found by that very sequence too, as path prefixes are
            and wildcard hosts are not.
    """

    __slots__ = ("_below_itself", "_root")

    def __init__(self, *, below_itself: bool) -> None:
        self._root: _Node[K, V] = _Node()
        self._below_itself = below_itself

    def insert_at(self, keys: Sequence[K], value: V) -> None:
        """Store ``value`` for exactly ``keys``, in place of an earlier one."""
        self._node(keys).at = value

    def insert_below(self, keys: Sequence[K], value: V) -> None:
        """Store ``value`` for every sequence that starts with ``keys``, in place of an earlier one."""
        self._node(keys).below = value

    def lookup(self, keys: Sequence[K]) -> list[V]:
        """What is stored at ``keys``, then what is stored below ever shorter starts of it."""
        # 1. Walk down as far as keys lead, noting what lies below each node passed.
        # 2. If all keys were walked, the last node adds what is stored at it, and decides about its own `below`.
        # 3. The walk went from far to close: turn it round.
        node = self._root
        found: list[V] = []
        for key in keys:
            if node.below is not None:
                found.append(node.below)
            child = node.children.get(key) if node.children is not None else None
            if child is None:
                break
            node = child
        else:
            if node.below is not None and self._below_itself:
                found.append(node.below)
            if node.at is not None:
                found.append(node.at)
        if len(found) > 1:
            found.reverse()
        return found

    def _node(self, keys: Sequence[K]) -> _Node[K, V]:
        node = self._root
        for key in keys:
            if node.children is None:
                node.children = {}
            node = node.children.setdefault(key, _Node())
        return node
