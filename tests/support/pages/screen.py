"""Where a command that goes on running writes to: a pipe, or a screen that it may draw on."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import termios
from collections.abc import Iterator, Mapping
from typing import Final

__all__ = ["Pipe", "Screen"]

_ROWS, _COLUMNS = 24, 80
_COMMAND: Final = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[()][0-9A-Z]|\x1b[=>78]|\r")
"""What moves the cursor, colours, clears: ECMA-48, section 5.4."""


class Pipe:
    """What every line of can be read as it was written.

    Attributes:
        environment: Variables that tell a command what it writes to.
        written: Descriptor that the command writes to.
    """

    environment: Mapping[str, str] = {}

    def __init__(self) -> None:
        self._read, self.written = os.pipe()

    def opened(self) -> None:
        """The command has it: end when the command does."""
        os.close(self.written)

    def lines(self) -> Iterator[str]:
        """Lines without their ends, until nobody writes any more."""
        with open(self._read, encoding="utf-8", errors="replace") as stream:
            try:
                for line in stream:
                    yield _COMMAND.sub("", line.rstrip("\n"))
            except OSError:
                # Linux says EIO where the last writer has left a terminal.
                return


class Screen(Pipe):
    """A terminal of 24 lines of 80; what is drawn again is another line to its reader."""

    environment: Mapping[str, str] = {"TERM": "xterm-256color", "COLUMNS": str(_COLUMNS), "LINES": str(_ROWS)}

    def __init__(self) -> None:
        self._read, self.written = pty.openpty()
        fcntl.ioctl(self.written, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, _COLUMNS, 0, 0))
