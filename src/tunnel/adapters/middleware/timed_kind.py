"""A kind of middleware that needs a clock, which its options do not say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from tunnel.ports.clock import Clock
from tunnel.ports.middleware import Middleware, MiddlewareKind

__all__ = ["TimedKind"]


class TimedKind(MiddlewareKind):
    """Makes middleware that goes by one clock.

    Args:
        kind: Called with options and the clock.
        options: Their type.
        protocols: What it has a meaning for.
        clock: Time.
    """

    def __init__(
        self,
        kind: Callable[[Any, Clock], Middleware],
        *,
        options: type[msgspec.Struct],
        protocols: frozenset[str],
        clock: Clock,
    ) -> None:
        self.Options = options
        self.protocols = protocols
        self._kind = kind
        self._clock = clock

    def __call__(self, options: Any, /) -> Middleware:
        return self._kind(options, self._clock)
