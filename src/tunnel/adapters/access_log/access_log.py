"""The access log: a bounded queue, and a thread that writes what is in it.

1. ``record`` appends to the queue, or drops what does not fit. It waits for nothing and takes no lock: one thread
   appends and another takes, and each of the numbers here is changed by one of them only.
2. The thread rests until the first record comes, gives others a tenth of a second to come too, then writes all there
   are, some at a time. Between these pieces the event loop has its turn; a long one would hold it up, since only one
   thread of Python runs at a time.
3. What cannot be written is lost and counted. It is told once writing works again, and not before: whoever tells it may
   be writing to the very place that is blocked.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from anyio import CancelScope, CapacityLimiter, to_thread

from tunnel.adapters.access_log.lines import LINES, LineFormat
from tunnel.adapters.access_log.log_file import STANDARD_ERROR, LogFile
from tunnel.domain.errors import ConfigurationError
from tunnel.domain.random_source import RandomSource
from tunnel.ports.access_log import AccessLog
from tunnel.ports.telemetry import SessionEnded

__all__ = ["ThreadedAccessLog"]

_MAX_RECORDS: Final = 16_384
"""That wait: a second or more of the busiest server, and at most some 30 MiB."""

_PIECE_RECORDS: Final = 64
"""Written at a time: some 0.2 ms of formatting."""

_LINGER_S: Final = 0.1
"""So that a busy server wakes the thread ten times a second, and not for each record."""

_SILENCE_S: Final = 10.0
"""Between two reports of records that were lost."""

_CLOSE_S: Final = 1.0
"""For writing what is left, when the server ends."""


class ThreadedAccessLog(AccessLog):
    """Writes lines to a file or to standard error, on a thread.

    Args:
        path: Of the file; ``-`` for standard error.
        format: Of the lines.
        sample: Share of the conversations that are recorded, picked at random.
        random: Picks them.
        max_records: That wait to be written; further ones are dropped.
        file: In place of the one that ``path`` names.
        monotonic: Tells seconds.
    """

    def __init__(
        self,
        path: str,
        *,
        format: LineFormat,
        sample: float,
        random: RandomSource,
        max_records: int = _MAX_RECORDS,
        file: LogFile | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._line = LINES[format]
        self._sample = sample
        self._random = random
        self._max_records = max_records
        self._file = LogFile(path) if file is None else file
        self._monotonic = monotonic
        self._queue: deque[tuple[float, SessionEnded]] = deque()
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()
        self._hurry = threading.Event()
        self._resting = False
        self._reopening = False
        self._closing = False
        # Changed by the event loop:
        self._dropped = 0
        self._dropped_at_piece = -1
        self._told = 0
        self._told_at = -_SILENCE_S
        # Changed by the thread:
        self._pieces = 0
        self._unwritten = 0
        self._why = "the queue was full"

    async def start(self) -> None:
        try:
            await to_thread.run_sync(self._file.open, abandon_on_cancel=True, limiter=CapacityLimiter(1))
        except OSError as exc:
            reason = exc.strerror or str(exc)
            raise ConfigurationError(
                f"expected a file that can be written, or {STANDARD_ERROR!r}: {reason}", key_path="access_log.path"
            ) from exc
        # A thread that hangs in a write must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="tunnel-access-log", daemon=True)
        self._thread.start()

    def wants(self) -> bool:
        return self._sample >= 1 or self._random.random() < self._sample

    def record(self, record: SessionEnded) -> None:
        queue = self._queue
        if len(queue) >= self._max_records or self._closing:
            self._dropped += 1
            self._dropped_at_piece = self._pieces
            return
        queue.append((time.time(), record))
        if self._resting:
            self._resting = False
            self._wake.set()

    def lost(self) -> tuple[int, str] | None:
        if not self._dropped and not self._unwritten:
            return None
        lost = self._dropped + self._unwritten
        if lost == self._told:
            return None
        blocked = self._dropped_at_piece == self._pieces
        now = self._monotonic()
        if not self._closing and (blocked or now - self._told_at < _SILENCE_S):
            return None
        count = lost - self._told
        self._told, self._told_at = lost, now
        return count, self._why

    def reopen(self) -> None:
        self._reopening = True
        self._wake.set()

    async def aclose(self) -> None:
        thread, self._thread = self._thread, None
        self._closing = True
        self._hurry.set()
        self._wake.set()
        if thread is None:
            return
        with CancelScope(shield=True):
            await to_thread.run_sync(thread.join, _CLOSE_S, limiter=CapacityLimiter(1))
        if thread.is_alive():
            self._dropped += len(self._queue)

    # -- the thread

    def _run(self) -> None:
        while True:
            self._resting = True
            # Looked at after saying so: whoever appends looks the other way round, so one of the two notices.
            if not self._queue and not self._closing and not self._reopening:
                self._wake.wait()
            self._wake.clear()
            self._resting = False
            closing = self._closing
            self._hurry.wait(_LINGER_S)
            if self._reopening:
                self._reopening = False
                self._file.close()
            while self._queue:
                self._write_piece()
            if closing:
                self._file.close()
                return

    def _write_piece(self) -> None:
        queue = self._queue
        piece = [queue.popleft() for _ in range(min(len(queue), _PIECE_RECORDS))]
        try:
            self._file.write(b"".join([self._line(at_s, record) for at_s, record in piece]))
        except OSError as exc:
            self._why = exc.strerror or str(exc)
            self._unwritten += len(piece)
        self._pieces += 1
