"""Which methods are called with a single message, as their callers have shown, or are answered with one.

gRPC does not tell a server whether a method's callers stream. A call whose only message and end came before anything
was answered looks like one of a single message, and its method is taken for such: of the next call, message and end are
waited for, so that they travel with the opening. An application that is called so does not begin before, so nothing is
lost by it. A call for which that was in vain, because it was not of a single message after all, was held up: its method
is left alone for a while. The same is kept of answers, where what is waited for is the status behind a message.
"""

from __future__ import annotations

from typing import Final

__all__ = ["CallHabits"]

_METHODS: Final = 4096
"""Methods that are known at once. Visitors make up names, which must not fill the memory."""

_CALLS_LEFT_ALONE: Final = 100
"""Calls of a method after one that was held up in vain."""


class CallHabits:
    """Knows some methods by what their last calls were like."""

    __slots__ = ("_left_alone",)

    def __init__(self) -> None:
        self._left_alone: dict[bytes, int] = {}
        """By path, how many calls are still not held up."""

    def single(self, path: bytes) -> bool:
        """Whether a call of this method is expected to have a single message, whose end comes at once."""
        return self._left_alone.get(path) == 0

    def saw_single(self, path: bytes) -> None:
        """A call had one message, and ended before it was answered."""
        known = self._left_alone
        left = known.get(path)
        if left is None:
            if len(known) == _METHODS:
                del known[next(iter(known))]
            known[path] = 0
        elif left:
            known[path] = left - 1

    def in_vain(self, path: bytes) -> None:
        """A call was held up, and was not of a single message."""
        self._left_alone[path] = _CALLS_LEFT_ALONE
