"""The targets that are dialled past the tunnel, made as they are needed."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Collection, Coroutine
from typing import Any, Final

from tunnel.app.upstreams import TargetFactory
from tunnel.domain.configuration import TargetPolicy, UpstreamSettings
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.ports.target import Stream, UpstreamTarget

__all__ = ["DirectTargets"]

_logger = logging.getLogger("tunnel.fallback")

_MAX_TARGETS: Final = 256
"""Kept at the same time, each with a pool of connections. Visitors name them, so there must be an end to it."""


class _Kept:
    __slots__ = ("conversations", "key", "target")

    def __init__(self, key: tuple[str, TargetPolicy], target: UpstreamTarget) -> None:
        self.key = key
        self.target = target
        self.conversations = 0


class DirectTargets:
    """Targets by URL and policy, each with its connections.

    Of those without conversations the one that was used longest ago makes room for another. One that is not wanted
    any more finishes what it has, and is closed then.

    Args:
        make: Makes targets.
        start: Runs something in the background.
        max_targets: Kept at the same time.
    """

    def __init__(
        self,
        make: TargetFactory,
        *,
        start: Callable[[Callable[[], Coroutine[Any, Any, None]]], None],
        max_targets: int = _MAX_TARGETS,
    ) -> None:
        self._make = make
        self._start = start
        self._max_targets = max_targets
        self._kept: OrderedDict[tuple[str, TargetPolicy], _Kept] = OrderedDict()
        self._leaving: set[_Kept] = set()

    async def handle(self, url: str, policy: TargetPolicy, stream: Stream) -> None:
        """Have the target at ``url`` answer one conversation.

        Args:
            url: As an upstream's target is written.
            policy: What may be dialled; the same object for the same settings.
            stream: The conversation.

        Raises:
            SessionError: ``overloaded``: all targets there may be are busy; else as the target fails.
        """
        kept = self._take(url, policy)
        kept.conversations += 1
        try:
            await kept.target.handle(stream)
        finally:
            kept.conversations -= 1
            if not kept.conversations and kept in self._leaving:
                self._start(lambda: self._close(kept))

    def keep_only(self, policies: Collection[TargetPolicy]) -> None:
        """Let go of targets that were dialled under other policies than these."""
        for key in [key for key in self._kept if not any(key[1] is policy for policy in policies)]:
            self._let_go(self._kept.pop(key))

    async def aclose(self) -> None:
        """Close every connection; conversations under way fail. Idempotent."""
        closing = [*self._kept.values(), *self._leaving]
        self._kept.clear()
        for kept in closing:
            await self._close(kept)

    def _take(self, url: str, policy: TargetPolicy) -> _Kept:
        key = (url, policy)
        kept = self._kept.get(key)
        if kept is None:
            if len(self._kept) >= self._max_targets:
                self._make_room()
            kept = self._kept[key] = _Kept(key, self._make(url, UpstreamSettings(targets=(url,)), policy))
        self._kept.move_to_end(key)
        return kept

    def _make_room(self) -> None:
        idle = next((each for each in self._kept.values() if not each.conversations), None)
        if idle is None:
            raise SessionError(
                ErrorCode.OVERLOADED,
                "too many servers are asked directly",
                detail=f"{self._max_targets} at the same time, all of them busy",
            )
        self._let_go(self._kept.pop(idle.key))

    def _let_go(self, kept: _Kept) -> None:
        self._leaving.add(kept)
        if not kept.conversations:
            self._start(lambda: self._close(kept))

    async def _close(self, kept: _Kept) -> None:
        try:
            await kept.target.aclose()
        except Exception:
            # A target is anybody's code, and the others are to be closed too.
            _logger.exception("a target of the fallback could not be closed")
        self._leaving.discard(kept)
