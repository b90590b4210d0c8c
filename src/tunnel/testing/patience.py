"""Waiting in checks: always with a deadline, and what it means when that is over."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import anyio

__all__ = ["PATIENCE_S", "expect_within", "until"]

PATIENCE_S: Final = 5.0
"""Longest that a check waits for what takes milliseconds; a hang is a failure, never a wait."""

_LOOK_AGAIN_S: Final = 0.005

R = TypeVar("R")


async def expect_within(what: str, action: Callable[[], Awaitable[R]], patience_s: float = PATIENCE_S) -> R:
    """The result of ``action``, which must come.

    Args:
        what: What is waited for, for the message when it does not come.
        action: Cancelled when it takes longer.
        patience_s: Seconds.

    Raises:
        AssertionError: It did not come in time.
    """
    with anyio.move_on_after(patience_s):
        return await action()
    raise AssertionError(f"{what}: not within {patience_s} s")


async def until(what: str, condition: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
    """Return once ``condition`` holds; for states of which nothing tells when they change.

    Raises:
        AssertionError: It did not come to hold in time.
    """
    with anyio.move_on_after(patience_s):
        while not condition():  # noqa: ASYNC110
            await anyio.sleep(_LOOK_AGAIN_S)
    assert condition(), f"{what}: not within {patience_s} s"
