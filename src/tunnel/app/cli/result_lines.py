"""Lines of a command that goes on: who reads them slowly, or not at all, holds up nobody's conversation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TextIO

from tunnel.app.log_writer import LogWriter

__all__ = ["ResultLines"]

_PATIENCE_S: Final = 1.0
"""At the end, with a reader that takes nothing."""


class ResultLines:
    """Writes lines to a stream by a thread, in order; straight away to one without a descriptor.

    Args:
        stream: Nobody else writes to it.
        lost_line: Makes the line that tells how many did not fit into what is kept for a slow reader.
    """

    def __init__(self, stream: TextIO, *, lost_line: Callable[[int], str]) -> None:
        self._stream: Final = stream
        self._lost_line: Final = lost_line
        self.on_failure: Callable[[OSError], None] | None = None
        """Called when lines could not be written, by whoever was to write them."""
        try:
            descriptor = stream.fileno()
        except OSError:
            # One in memory, of a program that calls the command.
            self._writer: LogWriter | None = None
        else:
            self._writer = LogWriter(descriptor, lost_line=self._lost, on_failure=self._failed)

    def write(self, line: str) -> None:
        """Have a line written, given without its line feed. Waits for nobody, and never fails."""
        if self._writer is not None:
            self._writer.write(_encoded(line))
            return
        try:
            self._stream.write(f"{line}\n")
        except OSError as error:
            self._failed(error)

    def settle(self) -> None:
        """Wait for what was written to be read, as long as somebody goes on reading."""
        if self._writer is None:
            return
        written = -1
        while written < self._writer.written_bytes:
            written = self._writer.written_bytes
            if self._writer.flush(_PATIENCE_S):
                return

    def _lost(self, count: int) -> bytes:
        return _encoded(self._lost_line(count))

    def _failed(self, error: OSError) -> None:
        if self.on_failure is not None:
            self.on_failure(error)


def _encoded(line: str) -> bytes:
    return f"{line}\n".encode()
