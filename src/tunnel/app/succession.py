"""What serves conversations now, and what is replaced and finishes those it has."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Callable, Coroutine
from typing import Any, Generic, Protocol, TypeVar

__all__ = ["Closable", "Serving", "Succession"]

_logger = logging.getLogger("tunnel.configuration")


class Closable(Protocol):
    """Has connections of its own."""

    @abstractmethod
    async def aclose(self) -> None:
        """Close them all."""


R = TypeVar("R", bound=Closable)


class Serving(Generic[R]):
    """A router, and how many conversations are under way in it.

    Args:
        router: The router.
    """

    __slots__ = ("conversations", "router")

    def __init__(self, router: R) -> None:
        self.router = router
        self.conversations = 0
        """To be raised by whoever begins one, and lowered when it is over; then ``Succession.left`` is called."""


class Succession(Generic[R]):
    """Routers, of which the last serves. One that is replaced is closed after the last of its conversations.

    Conversations are counted by those who hand them to the router, since a call for it would be in the way of each.

    Args:
        start: Runs something in the background.
    """

    def __init__(self, start: Callable[[Callable[[], Coroutine[Any, Any, None]]], None]) -> None:
        self._start = start
        self._replaced: set[Serving[R]] = set()
        self.current: Serving[R] | None = None
        """For conversations that begin; None before the first, and once closed."""

    @property
    def router(self) -> R | None:
        """Of ``current``."""
        return None if self.current is None else self.current.router

    def replace(self, router: R) -> None:
        """Serve by ``router`` from the next conversation on."""
        before, self.current = self.current, Serving(router)
        if before is not None:
            self._replaced.add(before)
            self.left(before)

    def left(self, serving: Serving[R]) -> None:
        """A conversation of ``serving`` is over; it is closed if it is replaced and that was the last."""
        if not serving.conversations and serving in self._replaced:
            self._start(lambda: self._close(serving))

    async def _close(self, serving: Serving[R]) -> None:
        try:
            await serving.router.aclose()
        except Exception:
            # Anybody's code, and of no consequence to those that go on.
            _logger.exception("the targets of a replaced configuration could not be closed")
        self._replaced.discard(serving)

    async def aclose(self) -> None:
        """Close every router; what runs is cut off."""
        serving, self.current = self.current, None
        closing = [*self._replaced, *([serving] if serving is not None else [])]
        self._replaced.clear()
        for each in closing:
            await self._close(each)
