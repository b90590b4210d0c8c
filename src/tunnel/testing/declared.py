"""What a harness declares in figures, held against what is seen.

A bound that is too low fails where more is seen. One that is too high would allow whatever there is, and a time that is
too short, or a tolerance that is too wide, would have a check see nothing:

1. Every figure has a limit of its own, which no adapter has a reason to pass.
2. A bound is no more than ``MOST_TIMES`` what is really seen.
3. What is still for as long as the harness says that it needs to be is still a while later.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import anyio

from tunnel.domain.limits import MIB

__all__ = [
    "MOST_BUFFERED_BYTES",
    "MOST_TIMES",
    "expect_at_least",
    "expect_at_most",
    "expect_bounded",
    "expect_filled",
    "expect_still",
]

MOST_BUFFERED_BYTES: Final = 64 * MIB
"""Most that may be buffered between two ends: two connections through a relay, of which Linux grants each 4 MiB to send
and lets the side that is read grow to tens of MiB while the machine is busy."""

MOST_TIMES: Final = 32
"""How many times what is seen a bound may be: systems give connections more or less, and none so much more."""

_STILL_S: Final = 0.2
"""A while later, in seconds."""

_ATTEMPTS: Final = 2
"""Looks at what is to be still: a machine that stalls has something move late, once."""


def expect_at_most(name: str, declared: float, most: float) -> None:
    """See that what a harness declares as ``name`` is no more than any adapter has a reason for."""
    assert declared <= most, f"{name} is declared as {declared:g}, and may be {most:g} at most"


def expect_at_least(name: str, declared: float, least: float) -> None:
    """See that what a harness declares as ``name`` is enough for a check to see something."""
    assert declared >= least, f"{name} is declared as {declared:g}, and has to be {least:g} at least"


def expect_bounded(name: str, declared: int, seen: int) -> None:
    """See that no more was taken than a harness declares as ``name``."""
    assert seen <= declared, f"{seen} were taken, and {name} is declared as {declared}"


def expect_filled(name: str, declared: int, seen: int) -> None:
    """See that a bound is kept, and is not far beyond what it bounds.

    Args:
        name: Under which the harness declares it.
        declared: What it declares.
        seen: What was really taken, as much as would be.
    """
    expect_bounded(name, declared, seen)
    assert declared <= MOST_TIMES * seen, (
        f"{name} is declared as {declared}, and no more than {seen} were taken: {MOST_TIMES} times that may be declared"
    )


async def expect_still(name: str, declared_s: float, moved: Callable[[], int]) -> None:
    """See that what was still for as long as a harness declares stays so.

    Args:
        name: Under which the harness declares it.
        declared_s: What it declares, in seconds.
        moved: How much has moved by now.
    """
    for _ in range(_ATTEMPTS):
        before = moved()
        await anyio.sleep(_STILL_S)
        if moved() == before:
            return
    raise AssertionError(f"what moved no more for {name}, declared as {declared_s:g} s, went on {_STILL_S:g} s later")
