"""Lines for a standard stream, written by a thread: whoever should read them may have stopped doing so.

A pipe that nobody reads takes 64 KiB, and then whoever writes waits: a terminal that is held, a supervisor that hangs,
a pager. Conversations must not wait for that.

1. A line is put into a queue, bounded by bytes; what does not fit is lost and counted.
2. The thread writes what there is, all of it at once when there is much, and straight to the descriptor: in Python's
   own stream it would hold a lock that others need.
3. What was lost is told as soon as writing works again.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable
from typing import Final

__all__ = ["LogWriter"]

_MAX_BYTES: Final = 8 << 20
"""That wait. A tunnel that is lost may end 20,000 conversations in one moment, each of which is a line of 250 bytes;
those are not to be lost where somebody reads."""


class LogWriter:
    """Writes lines to a descriptor, in order. Threads may share it.

    Args:
        descriptor: Where to; it stays open.
        lost_line: Makes the line that tells how many were lost.
        max_bytes: That wait to be written.
        on_failure: Called by the thread when lines could not be written; they are lost.
    """

    def __init__(
        self,
        descriptor: int,
        *,
        lost_line: Callable[[int], bytes],
        max_bytes: int = _MAX_BYTES,
        on_failure: Callable[[OSError], None] | None = None,
    ) -> None:
        self._descriptor = descriptor
        self._lost_line = lost_line
        self._max_bytes = max_bytes
        self._on_failure = on_failure
        self.written_bytes = 0
        """That somebody took, as a pipe does for whoever reads it; goes up only."""
        self._changed = threading.Condition()
        self._lines: list[bytes] = []
        self._waiting_bytes = 0
        self._writing = False
        self._lost = 0
        self._torn = False
        """The last line was cut off by an error."""
        self._thread: threading.Thread | None = None

    def write(self, line: bytes) -> None:
        """Have a line written, which ends with a line feed. Waits for nobody."""
        with self._changed:
            if self._waiting_bytes + len(line) > self._max_bytes or not self._started():
                self._lost += 1
                return
            self._lines.append(line)
            self._waiting_bytes += len(line)
            self._changed.notify_all()

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything is written, for ``timeout_s`` at most; tell whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._lines and not self._writing, timeout_s)

    def _started(self) -> bool:
        if self._thread is None or not self._thread.is_alive():  # which it is not in a process that was forked
            # One that hangs in a write must not keep the process from ending.
            thread = threading.Thread(target=self._run, name="tunnel-log", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                # The process may have no more threads; the next line asks again.
                return False
            self._thread = thread
        return True

    # -- the thread

    def _run(self) -> None:
        while True:
            with self._changed:
                self._writing = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: bool(self._lines))
                lines, self._lines, self._writing = self._lines, [], True
            written = self._put(b"".join(lines))
            with self._changed:
                self._waiting_bytes -= sum(map(len, lines))
                if not written:
                    self._lost += len(lines)
                lost = self._lost
            if written and lost and self._put(self._lost_line(lost)):
                with self._changed:
                    self._lost -= lost

    def _put(self, lines: bytes) -> bool:
        rest = memoryview(b"\n" + lines if self._torn else lines)
        try:
            while rest:
                try:
                    taken = os.write(self._descriptor, rest)
                    self.written_bytes += taken
                    rest = rest[taken:]
                except BlockingIOError:
                    # It may be shared with somebody who does not want to wait; here it is what we are for.
                    select.select([], [self._descriptor], [])
        except OSError as error:
            # Nobody reads the stream any more, or its disk is full; serving goes on.
            self._torn = self._torn or len(rest) < len(lines)
            if self._on_failure is not None:
                self._on_failure(error)
            return False
        self._torn = False
        return True
