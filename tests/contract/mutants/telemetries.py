"""Telemetry with one mistake each. Their twin is that of log records, which keeps every rule."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec
from contract.test_telemetries import LoggingHarness

from tunnel.adapters.logging import LoggingTelemetry
from tunnel.ports.telemetry import Event, Telemetry
from tunnel.testing import telemetry as rules
from tunnel.testing.mutants import Mutant
from tunnel.testing.telemetry import TELEMETRY


class Around(Telemetry):
    """Does what its twin does; the mistakes are in what is changed of this."""

    def __init__(self, twin: LoggingTelemetry, harness: LoggingHarness) -> None:
        self.twin = twin
        self.harness = harness

    def record(self, event: Event) -> None:
        self.twin.record(event)


class Encoding(Around):
    """Takes every text for one that can be encoded."""

    def record(self, event: Event) -> None:
        str(msgspec.structs.astuple(event)[0]).encode()
        super().record(event)


class Strict(Around):
    """Tells whoever records that it could not be passed on."""

    def record(self, event: Event) -> None:
        super().record(event)
        if self.harness.hampered:
            raise OSError("no space left on device")


class Hoarding(Around):
    """Keeps every event."""

    def record(self, event: Event) -> None:
        super().record(event)
        self.kept = [*getattr(self, "kept", ()), event]


class Fickle(Around):
    """Wants to be told of conversations until it is."""

    wants_sessions = True

    def record(self, event: Event) -> None:
        super().record(event)
        self.wants_sessions = False


class _Spacious(LoggingHarness):
    kept_bytes = 1 << 30


class _Unhampered(LoggingHarness):
    def hamper(self) -> Callable[[], int]:
        return lambda: self._sink.failures


class _Secretive(LoggingHarness):
    def hamper(self) -> None:
        pass


class _Harness(LoggingHarness):
    def __init__(self, made: Callable[[LoggingTelemetry, LoggingHarness], Telemetry]) -> None:
        super().__init__()
        self._made = made

    def telemetry(self) -> Telemetry:  # type: ignore[override]
        return self._made(super().telemetry(), self)


TWINS: Final = (partial(_Harness, Around),)

MUTANTS: Final = (
    *(
        Mutant(name, TELEMETRY, rule, partial(_Harness, made))
        for name, rule, made in (
            ("cannot take every text", rules.ANY, Encoding),
            ("raises when nothing can be passed on", rules.HAMPERED, Strict),
            ("keeps every event", rules.BOUNDED, Hoarding),
            ("changes its mind about conversations", rules.ANSWERS, Fickle),
        )
    ),
    # What harnesses declare, without cause.
    Mutant("is said to keep more than anybody needs", TELEMETRY, rules.BOUNDED, _Spacious),
    Mutant("passes events on, and is said to be kept from it", TELEMETRY, rules.HAMPERED, _Unhampered),
    Mutant("passes events on, and denies it", TELEMETRY, rules.HAMPERED, _Secretive),
)
