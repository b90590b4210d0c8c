"""The contract of telemetry.

Whatever is told of events is put under it by a harness, and the thin class::

    class SmokeHarness(TelemetryHarness):
        def telemetry(self) -> Telemetry: ...
        def hamper(self) -> Callable[[], int] | None: ...

    class TestSmoke(TelemetryContract):
        harness = SmokeHarness
"""

from __future__ import annotations

import io
import logging
import tracemalloc
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, ClassVar, Final, get_args

import msgspec
from hypothesis import strategies as st

from tunnel.domain.limits import KIB, MIB
from tunnel.ports.telemetry import Event, SessionEnded, Telemetry
from tunnel.testing.contract import Contract
from tunnel.testing.contract_tests import ContractTests
from tunnel.testing.declared import expect_at_most
from tunnel.testing.harness import Harness
from tunnel.testing.holdings import Holdings

__all__ = ["TELEMETRY", "TelemetryContract", "TelemetryHarness"]


class TelemetryHarness(Harness, ABC):
    """Makes telemetry of one kind."""

    kept_bytes: ClassVar[int] = 1 * MIB
    """Most that it may keep in memory of however many events; 4 MiB at most."""

    @abstractmethod
    def telemetry(self) -> Telemetry:
        """New telemetry, in working order."""

    @abstractmethod
    def hamper(self) -> Callable[[], int] | None:
        """Let wherever events go fail from now on.

        Returns:
            Tells how often it has; None: events go nowhere, which is shown.
        """


TELEMETRY: Final = Contract[TelemetryHarness]("telemetry")

ANY: Final = TELEMETRY.state("E-ANY", "Every event there is can be recorded, whatever its texts and numbers are.")
HAMPERED: Final = TELEMETRY.state("E-HAMPERED", "Recording does not raise when events cannot be passed on.")
BOUNDED: Final = TELEMETRY.state("E-BOUNDED", "What is kept of events is bounded, whatever names visitors think of.")
ANSWERS: Final = TELEMETRY.state(
    "E-ANSWERS", "Whether every conversation is to be told of is a plain truth value, and stays the same."
)

_MOST_KEPT_BYTES: Final = 4 * MIB
"""What counters by name and a window of what was last seen need is far less."""

_TEXTS: Final = st.text(st.characters(exclude_categories=()), max_size=30) | st.sampled_from(
    ["", "\n", "\x00", "\ud800", "%s", "{0}", '"', "\x1b[2J", "x" * 2000]
)
_NUMBERS: Final = st.integers(0, 2**63 - 1)
_SECONDS: Final = st.floats(0, 1e9)


_FILLINGS: Final = st.tuples(_TEXTS, _NUMBERS, _SECONDS, st.booleans())


def _filled(kind: Any, text: str, number: int, seconds: float, *, absent: bool) -> Event:
    """An event with the same in all of its fields of one type; with None wherever that may be, if ``absent``."""
    by_type: dict[Any, Any] = {str: text, int: number, float: seconds, bool: bool(number)}
    types = {field.name: get_args(field.type) or (field.type,) for field in msgspec.structs.fields(kind)}
    event: Event = kind(
        **{
            name: None if absent and type(None) in any_of else next(by_type[each] for each in any_of if each in by_type)
            for name, any_of in types.items()
        }
    )
    return event


@TELEMETRY.shows(ANY, drawn=_FILLINGS)
async def any_event_can_be_recorded(harness: TelemetryHarness, drawn: tuple[str, int, float, bool]) -> None:
    telemetry = harness.telemetry()
    text, number, seconds, absent = drawn
    for kind in get_args(Event):
        telemetry.record(_filled(kind, text, number, seconds, absent=absent))


@TELEMETRY.shows(HAMPERED)
async def failing_to_pass_on_is_not_told(harness: TelemetryHarness) -> None:
    telemetry = harness.telemetry()
    failures = harness.hamper()
    with _passed_on() as ways:
        # With nothing odd in them: what is odd is the rule's that any event can be recorded.
        for _ in range(3):
            for kind in get_args(Event):
                telemetry.record(_filled(kind, "plain", 1, 1.0, absent=False))
    if failures is None:
        assert not ways, f"events are said to go nowhere, and go to {', '.join(sorted(set(ways)))}"
    else:
        assert failures() > 0, "events could be passed on, though that was to fail"


@contextmanager
def _passed_on() -> Iterator[list[str]]:
    """The ways by which something leaves this process meanwhile: log records, standard streams, what is opened."""
    ways: list[str] = []
    root, made, out = logging.getLogger(), logging.getLogRecordFactory(), io.StringIO()
    level, disabled = root.level, root.manager.disable
    before = Holdings.now()

    def note(*arguments: Any, **options: Any) -> logging.LogRecord:
        ways.append("the log")
        return made(*arguments, **options)

    root.setLevel(logging.DEBUG)
    logging.disable(logging.NOTSET)
    logging.setLogRecordFactory(note)
    try:
        with redirect_stdout(out), redirect_stderr(out):
            yield ways
    finally:
        logging.setLogRecordFactory(made)
        root.setLevel(level)
        logging.disable(disabled)
    ways += ["a standard stream"] * bool(out.getvalue())
    ways += Holdings.now().opened_since(before)


def _visit(number: int) -> SessionEnded:
    """A conversation whose every text is its own."""
    return SessionEnded(
        protocol="http",
        request_id=f"id-{number}",
        peer=f"2001:db8::{number:x}",
        method=f"METHOD-{number}",
        host=f"host-{number}.test",
        path=f"/{number}/" + "x" * 1000,
        outcome="ok",
        status=200,
        duration_s=0.1,
    )


@TELEMETRY.shows(BOUNDED)
async def visitors_cannot_fill_memory(harness: TelemetryHarness) -> None:
    expect_at_most("kept_bytes", harness.kept_bytes, _MOST_KEPT_BYTES)
    telemetry = harness.telemetry()
    for number in range(100):
        telemetry.record(_visit(number))
    visits = 2 * harness.kept_bytes // KIB
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(100, 100 + visits):
            telemetry.record(_visit(number))
        kept = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert kept <= harness.kept_bytes, f"{kept} bytes are kept of {visits} conversations"


@TELEMETRY.shows(ANSWERS)
async def it_says_whether_it_wants_conversations(harness: TelemetryHarness) -> None:
    telemetry = harness.telemetry()
    wants = telemetry.wants_sessions
    assert isinstance(wants, bool), f"{wants!r} is neither True nor False"
    telemetry.record(_visit(1))
    assert telemetry.wants_sessions is wants, "it changed its mind"


class TelemetryContract(ContractTests[TelemetryHarness]):
    """What all telemetry must do; a subclass says which harness."""

    contract = TELEMETRY
