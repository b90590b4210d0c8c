"""Where commands write: results to standard output, everything else to standard error."""

from __future__ import annotations

import os
import sys

__all__ = ["settle", "write", "write_error"]


def write(line: str) -> None:
    """Write a line of a command's result."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def settle() -> None:
    """Have what is left of standard output written, or thrown away where nobody reads it any more.

    Else the interpreter tries when it ends, and the exit code is not ours.
    """
    try:
        sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def write_error(line: str) -> None:
    """Write a line that is not part of the result."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
