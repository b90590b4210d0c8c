"""The three descriptors every process starts with, of which some supervisors and shells (``>&-``) leave some closed."""

from __future__ import annotations

import os
import sys
from typing import Final

__all__ = ["open_standard_streams"]

_STANDARD: Final = (0, 1, 2)


def open_standard_streams() -> None:
    """Open those of the descriptors 0, 1 and 2 that are closed, on the null device.

    Else the next file or socket that is opened gets their number: a library that writes its warnings to descriptor 2
    would write them to a visitor, and uvloop aborts the process when it closes one of them.

    ``sys.stdin`` and ``sys.stderr`` become streams of the null device where Python left them None. ``sys.stdout`` stays
    None, since results that go nowhere are a failure.
    """
    for descriptor in _STANDARD:
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest number that is free is the one that was found closed.
            os.open(os.devnull, os.O_RDWR)
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 - for as long as the process lives
    if sys.stderr is None:
        sys.stderr = open(2, "w", errors="backslashreplace", closefd=False)  # noqa: SIM115
