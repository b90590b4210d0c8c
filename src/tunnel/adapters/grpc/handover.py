"""The small bounded queue between a link's own tasks and those who call it."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

from tunnel.domain.errors import LinkError

__all__ = ["Handover"]

T = TypeVar("T")


class Handover(Generic[T]):
    """Passes items from one task to another, at most ``capacity`` of them under way.

    Items keep their order; none is lost or passed twice when a waiting side is cancelled, since an item is in the
    queue or out of it and never in between. A hop costs one future, and none when the other side has run ahead. One
    task may put and one may get at a time.

    Args:
        capacity: Items that may wait, at least one.
    """

    __slots__ = ("_busy", "_capacity", "_deliverer", "_end", "_getter", "_items", "_putter")

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._busy = False
        self._items: deque[T] = deque()
        self._end: LinkError | None = None
        self._getter: asyncio.Future[None] | None = None
        self._putter: asyncio.Future[None] | None = None
        self._deliverer: asyncio.Future[None] | None = None

    @property
    def closed(self) -> bool:
        return self._end is not None

    @property
    def idle(self) -> bool:
        """Whether the other side waits for an item, or is about to."""
        return self._end is None and not self._items and not self._busy

    def offer(self, item: T) -> bool:
        """Pass ``item`` on if ``put`` would neither wait nor raise, and tell whether it was."""
        if self._end is not None or len(self._items) >= self._capacity:
            return False
        self._items.append(item)
        _wake(self._getter)
        return True

    async def put(self, item: T) -> None:
        """Pass ``item`` on; waits while ``capacity`` items wait. Cancelled, the item was not passed.

        Raises:
            LinkError: That given to ``close``.
        """
        while not self.offer(item):
            if self._end is not None:
                raise _again(self._end)
            await self._wait_to_put()

    async def deliver(self, item: T) -> None:
        """Hand ``item`` over, and return once the other side is done with it: when it asks for the next.

        Cancelled, the item stays handed over unless it had to wait for room.

        Raises:
            LinkError: That given to ``close``.
        """
        await self.put(item)
        while self._end is None and (self._items or self._busy):
            await self._wait_for_delivery()
        if self._end is not None:
            raise _again(self._end)

    async def _wait_to_put(self) -> None:
        if self._putter is not None:
            raise RuntimeError("another task is already putting")
        self._putter = asyncio.get_running_loop().create_future()
        try:
            await self._putter
        finally:
            self._putter = None

    async def _wait_for_delivery(self) -> None:
        if self._deliverer is not None:
            raise RuntimeError("another task is already delivering")
        self._deliverer = asyncio.get_running_loop().create_future()
        try:
            await self._deliverer
        finally:
            self._deliverer = None

    async def get(self) -> T:
        """The next item; waits for one. Items put before the close come before its error.

        Raises:
            LinkError: That given to ``close``, once nothing is left.
        """
        if self._busy:
            self._busy = False
            if not self._items:
                _wake(self._deliverer)
        while not self._items:
            if self._end is not None:
                raise _again(self._end)
            if self._getter is not None:
                raise RuntimeError("another task is already getting")
            self._getter = asyncio.get_running_loop().create_future()
            try:
                await self._getter
            finally:
                self._getter = None
        item = self._items.popleft()
        self._busy = True
        _wake(self._putter)
        return item

    def close(self, end: LinkError, *, discard: bool = False) -> None:
        """Take no more items; wakes whoever waits. The first ``end`` given stays.

        Args:
            end: What ``put`` raises from now on, and ``get`` once nothing is left.
            discard: Drop the items that still wait.
        """
        if self._end is None:
            self._end = end
        if discard:
            self._items.clear()
        _wake(self._getter)
        _wake(self._putter)
        _wake(self._deliverer)


def _again(end: LinkError) -> LinkError:
    # An exception raised over and over would drag an ever longer traceback along.
    error = LinkError(end.end, end.reason)
    error.__cause__ = end.__cause__
    return error


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
