"""Whatever is told of events under its contract."""

from __future__ import annotations

import logging
from collections.abc import Callable

from tunnel.adapters.clock import MonotonicClock
from tunnel.adapters.logging import LoggingTelemetry
from tunnel.app.ledger import Ledger
from tunnel.domain.metrics import Counters
from tunnel.ports.telemetry import Event, Telemetry
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


class Nobody(Telemetry):
    """Is told, and forgets."""

    def record(self, event: Event) -> None:
        pass


class LedgerOfNobodyHarness(TelemetryHarness):
    """Counts, and passes on to nobody."""

    def telemetry(self) -> Ledger:
        return Ledger(Nobody(), Counters(), MonotonicClock())

    def hamper(self) -> None:
        """Nothing to do."""


class TestLoggingTelemetry(TelemetryContract):
    harness = LoggingHarness


class TestLedger(TelemetryContract):
    harness = LedgerHarness


class TestLedgerOfNobody(TelemetryContract):
    harness = LedgerOfNobodyHarness
