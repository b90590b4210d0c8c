"""On which event loop a check runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias, TypeVar, TypeVarTuple

import anyio

__all__ = ["VIRTUAL", "EventLoop", "run"]

EventLoop: TypeAlias = str | tuple[str, Mapping[str, Any]]
"""``"asyncio"``, ``"trio"``, either with its options as ``anyio.run`` takes them, or ``VIRTUAL``."""

VIRTUAL: Final = "virtual"
"""Trio in virtual time: when everything waits, the clock jumps to the next deadline. For adapters without sockets."""

_Arguments = TypeVarTuple("_Arguments")
_Result = TypeVar("_Result")


def run(
    event_loop: EventLoop, function: Callable[[*_Arguments], Awaitable[_Result]], *arguments: *_Arguments
) -> _Result:
    """Run ``function`` to its end on a new event loop.

    Args:
        event_loop: Which.
        function: What to call.
        arguments: Its arguments.
    """
    name, options = (event_loop, {}) if isinstance(event_loop, str) else event_loop
    if name == VIRTUAL:
        from trio.testing import MockClock

        # A clock belongs to one run.
        name, options = "trio", {"clock": MockClock(autojump_threshold=0)}
    return anyio.run(function, *arguments, backend=name, backend_options=dict(options))
