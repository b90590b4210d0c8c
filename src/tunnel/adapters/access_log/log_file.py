"""A file that is appended to, and that others may take away at any time."""

from __future__ import annotations

import os
import select
from typing import Final

__all__ = ["STANDARD_ERROR", "LogFile"]

STANDARD_ERROR: Final = "-"

_STDERR_FD: Final = 2
"""Written to directly: whoever waits in Python's own stream holds a lock that other logging needs."""

_MODE: Final = 0o640
"""Of a file that is made: records tell who asked for what, so they are not for everybody."""


_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
"""Without waiting: opening a pipe that nobody reads would wait for a reader that may never come."""


class LogFile:
    """Appends to the file that has the given name now, making it if there is none: logs are renamed and removed.

    Calls wait for the disk. For one thread.

    Args:
        path: Its name; ``-`` for standard error.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd: int | None = _STDERR_FD if path == STANDARD_ERROR else None
        self._identity: tuple[int, int] | None = None
        self._torn = False
        """The last line was cut off by an error."""

    def open(self) -> None:
        """Open the file, unless it is open.

        Raises:
            OSError: It cannot be; a pipe cannot while nobody reads it.
        """
        if self._fd is None:
            self._fd = os.open(self._path, _FLAGS, _MODE)
            self._identity = _identity(os.fstat(self._fd))

    def write(self, lines: bytes) -> None:
        """Append whole lines.

        Raises:
            OSError: Not all of them were written.
        """
        self._follow()
        self.open()
        assert self._fd is not None
        rest = memoryview(b"\n" + lines if self._torn else lines)
        try:
            while rest:
                try:
                    rest = rest[os.write(self._fd, rest) :]
                except BlockingIOError:
                    # Standard error may be shared with somebody who does not want to wait; here it is what we are for.
                    select.select([], [self._fd], [])
        except OSError:
            self._torn = self._torn or len(rest) < len(lines)
            self.close()
            raise
        self._torn = False

    def close(self) -> None:
        """Let go of the file; the next line opens it again. Standard error is left alone."""
        if self._fd is not None and self._identity is not None:
            os.close(self._fd)
            self._fd = self._identity = None

    def _follow(self) -> None:
        """Close what does not have the name any more."""
        if self._identity is None:
            return
        try:
            there = _identity(os.stat(self._path))
        except OSError:
            there = None
        if there != self._identity:
            self.close()


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
