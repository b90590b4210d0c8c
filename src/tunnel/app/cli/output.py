"""Where commands write: results to standard output, everything else to standard error."""

from __future__ import annotations

import sys

__all__ = ["write", "write_error"]


def write(line: str) -> None:
    """Write a line of a command's result."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def write_error(line: str) -> None:
    """Write a line that is not part of the result."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
