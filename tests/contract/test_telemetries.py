"""Whatever is told of events under its contract."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable

from support.app_kit import Recorder

from tunnel.adapters.clock import MonotonicClock
from tunnel.adapters.logging import LoggingTelemetry
from tunnel.app.cli.expose_board import Board
from tunnel.app.cli.expose_report import JsonReport, PlainReport, Report
from tunnel.app.cli.expose_watch import Watch
from tunnel.app.ledger import Ledger
from tunnel.domain.limits import MIB
from tunnel.domain.metrics import Counters
from tunnel.testing.telemetry import TelemetryContract, TelemetryHarness


class _Sink(logging.Handler):
    """Formats what it is given, and forgets it; broken on demand, as a disk is that is full."""

    broken = False
    failures = 0

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.format(record)
            if self.broken:
                raise OSError(28, "No space left on device")
        except OSError:
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """What the standard library prints of it is nobody's to read here."""
        self.failures += 1


class LoggingHarness(TelemetryHarness):
    def __init__(self) -> None:
        self._sink = _Sink()
        self._logger = logging.getLogger("tunnel")
        self._propagated, self._level = self._logger.propagate, self._logger.level
        self._logger.propagate = False
        self._logger.setLevel(logging.DEBUG)
        self._logger.addHandler(self._sink)

    def telemetry(self) -> LoggingTelemetry:
        return LoggingTelemetry()

    @property
    def hampered(self) -> bool:
        return self._sink.broken

    def hamper(self) -> Callable[[], int] | None:
        self._sink.broken = True
        return lambda: self._sink.failures

    def close(self) -> None:
        self._logger.removeHandler(self._sink)
        self._logger.propagate = self._propagated
        self._logger.setLevel(self._level)


class LedgerHarness(LoggingHarness):
    """Passes on to the telemetry of the application."""

    def telemetry(self) -> Ledger:  # type: ignore[override]
        return Ledger(super().telemetry(), Counters(), MonotonicClock())


class RecorderHarness(TelemetryHarness):
    kept_bytes = 4 * MIB

    def telemetry(self) -> Recorder:
        return Recorder()

    def hamper(self) -> None:
        """Nothing to do."""


class LedgerOfRecorderHarness(RecorderHarness):
    """Counts, and passes on to what passes nothing on."""

    def telemetry(self) -> Ledger:  # type: ignore[override]
        return Ledger(super().telemetry(), Counters(), MonotonicClock())


class _Broken(io.StringIO):
    """Takes lines until it is broken."""

    broken = False
    failures = 0

    def write(self, line: str) -> int:
        if self.broken:
            self.failures += 1
            raise OSError(28, "No space left on device")
        return len(line)


class WatchHarness(LoggingHarness):
    """Passes on to the log, and shows one target on a board."""

    def report(self) -> Report:
        return PlainReport(lambda _: None)

    def telemetry(self) -> Watch:  # type: ignore[override]
        board = Board(("3000",), 0.0)
        return Watch(board.expositions[0], board, self.report(), lambda: None)


class JsonWatchHarness(WatchHarness):
    """Writes every change as a line, too."""

    def __init__(self) -> None:
        super().__init__()
        self._lines = _Broken()

    def report(self) -> Report:
        return JsonReport(self._lines, lambda: 0.0)

    def hamper(self) -> Callable[[], int] | None:
        logged = super().hamper()
        assert logged is not None
        self._lines.broken = True
        return lambda: min(logged(), self._lines.failures)


class TestLoggingTelemetry(TelemetryContract):
    harness = LoggingHarness


class TestLedger(TelemetryContract):
    harness = LedgerHarness


class TestLedgerOfRecorder(TelemetryContract):
    harness = LedgerOfRecorderHarness


class TestRecorder(TelemetryContract):
    harness = RecorderHarness


class TestWatch(TelemetryContract):
    harness = WatchHarness


class TestWatchInJson(TelemetryContract):
    harness = JsonWatchHarness
