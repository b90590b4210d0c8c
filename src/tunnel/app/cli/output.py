"""Where commands write: results to standard output, everything else to standard error."""

from __future__ import annotations

import errno
import logging
import os
import select
import sys
from contextlib import suppress
from typing import Final, TextIO

__all__ = ["results", "settle", "write", "write_error"]


_PATIENCE_S: Final = 1.0
"""With whoever reads standard error, or does not."""


def results() -> TextIO:
    """Standard output.

    Raises:
        OSError: It was closed when the process started: there is nowhere to write results.
    """
    # Python's annotation does not say so, but it is None then.
    stream: TextIO | None = sys.stdout
    if stream is None:
        raise OSError(errno.EBADF, "standard output is closed")
    return stream


def write(line: str) -> None:
    """Write a line of a command's result.

    Raises:
        OSError: It cannot be written.
    """
    stream = results()
    stream.write(f"{line}\n")
    stream.flush()


def settle() -> None:
    """Have what is left of the standard streams written, or thrown away where it cannot be.

    Else the interpreter tries when it ends, and the exit code is not ours.
    """
    streams: tuple[TextIO | None, ...] = (sys.stdout, sys.stderr)
    for stream in streams:
        if stream is None:
            continue
        try:
            stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)


def write_error(line: str) -> None:
    """Write a line that is not part of the result, after what was logged before.

    Where nobody can read it, or does within a second, the exit code still tells.
    """
    for handler in logging.getLogger().handlers:
        handler.flush()
    with suppress(OSError):
        if _takes_more(sys.stderr):
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()


def _takes_more(stream: TextIO) -> bool:
    """Whether writing a line will not wait; what nobody can tell is taken to."""
    try:
        return bool(select.select([], [stream], [], _PATIENCE_S)[1])
    except (OSError, ValueError):
        # Windows knows of sockets only; a stream in memory has no descriptor.
        return True
