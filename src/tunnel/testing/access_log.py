"""The contract of access logs.

One is put under it by a harness that makes some and reads what they have written, and the thin class::

    class ParchmentHarness(AccessLogHarness):
        def log(self) -> AccessLog: ...
        def written(self) -> list[str]: ...

    class TestParchment(AccessLogContract):
        harness = ParchmentHarness

What can be taken away, blocked, broken or made wrongly has further methods; what says that it cannot is shown to write
everything.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import ClassVar, Final

import anyio
from hypothesis import strategies as st

from tunnel.domain.errors import ConfigurationError
from tunnel.ports.access_log import AccessLog
from tunnel.ports.telemetry import SessionEnded
from tunnel.testing.contract import Contract
from tunnel.testing.contract_tests import ContractTests
from tunnel.testing.declared import expect_at_most, expect_filled
from tunnel.testing.harness import Harness
from tunnel.testing.holdings import Holdings, left_behind
from tunnel.testing.patience import expect_within, until

__all__ = ["ACCESS_LOG", "AccessLogContract", "AccessLogHarness"]


class AccessLogHarness(Harness, ABC):
    """Makes access logs of one kind, all of which write to one place."""

    loses: ClassVar[bool] = True
    """Whether it loses what it has no room for, and ``block`` and ``spoil`` work; if not, it writes everything."""

    waiting_records: ClassVar[int] = 0
    """Most records that wait to be written, if it loses any; 10,000 at most."""

    rotates: ClassVar[bool] = True
    """Whether what was written can be taken away, as ``take_away`` does; if not, it opens nothing to write to."""

    @abstractmethod
    def log(self) -> AccessLog:
        """A new one that is not started, and wants every conversation."""

    @abstractmethod
    def written(self) -> list[str]:
        """The lines that are where logs go now, each with all texts of its record."""

    def faulty(self) -> AccessLog | None:
        """One that cannot be made ready; None where each can, since none opens anything."""
        return None

    def take_away(self) -> list[str]:
        """Put aside what was written, so that it counts no more; what it is."""
        raise NotImplementedError("a log that rotates has this")

    def block(self) -> None:
        """Let writing wait until ``unblock``."""
        raise NotImplementedError("a log that loses records has this")

    def unblock(self) -> None:
        """Let writing go on."""
        raise NotImplementedError("a log that loses records has this")

    def spoil(self) -> None:
        """Let writing fail from now on."""
        raise NotImplementedError("a log that loses records has this")


ACCESS_LOG: Final = Contract[AccessLogHarness]("access_log")

WANTS: Final = ACCESS_LOG.state("L-WANTS", "Whether a conversation is to be recorded is a plain truth value.")
START: Final = ACCESS_LOG.state("L-START", "What cannot be made ready is a `ConfigurationError` that names the key.")
WRITES: Final = ACCESS_LOG.state("L-WRITES", "Records are written soon, in order, each once.")
LINE: Final = ACCESS_LOG.state("L-LINE", "A record is one line, whatever its texts are.")
WAITS_NOT: Final = ACCESS_LOG.state(
    "L-WAITS-NOT", "Where nothing can be written, recording neither waits nor raises, and what waits is bounded."
)
TOLD: Final = ACCESS_LOG.state("L-TOLD", "Each record is written, or told of as lost, with the reason; none is both.")
REOPEN: Final = ACCESS_LOG.state("L-REOPEN", "Opened anew, it leaves alone what was taken away, and loses nothing.")
CLOSE: Final = ACCESS_LOG.state("L-CLOSE", "Closing writes what there is, takes no long time, and may be done again.")
CANCELS: Final = ACCESS_LOG.state("L-CANCELS", "Cancelled, closing does what it does all the same.")
NOTHING_LEFT: Final = ACCESS_LOG.state("L-NOTHING-LEFT", "Closed, it leaves no task, thread or descriptor behind.")

_MOST_WAITING_RECORDS: Final = 10_000
"""Room for some seconds of the busiest server."""

_MANY_RECORDS: Final = 20_000
"""More than there is room for anywhere; what loses nothing writes them all."""

_CLOSE_S: Final = 4.0
"""Longest that closing takes: a second or so of its own, the rest for a busy machine."""

_RELEASE_S: Final = 1.5


def _record(number: int, path: str = "/") -> SessionEnded:
    return SessionEnded(
        protocol="http", request_id=f"kit-{number}.", path=path, outcome="ok", status=200, duration_s=0.1
    )


def _numbers(lines: list[str]) -> list[int]:
    """The numbers of the records in some lines."""
    return [int(line.partition("kit-")[2].partition(".")[0]) for line in lines]


async def _close(log: AccessLog) -> None:
    await expect_within("closing", log.aclose, _CLOSE_S)


async def _nothing_is_opened(harness: AccessLogHarness, why: str) -> None:
    before = Holdings.now()
    async with _started(harness) as log:
        log.record(_record(0))
        opened = Holdings.now().opened_since(before)
    assert not opened, f"{why}, and it opens {', '.join(opened)}"


@asynccontextmanager
async def _started(harness: AccessLogHarness) -> AsyncIterator[AccessLog]:
    log = harness.log()
    await expect_within("starting", log.start)
    try:
        yield log
    finally:
        await log.aclose()


@ACCESS_LOG.shows(WANTS)
async def it_says_whether_it_wants_a_conversation(harness: AccessLogHarness) -> None:
    async with _started(harness) as log:
        wants = log.wants()
        assert wants is True, f"{wants!r} is not True, as it is to want everything"


@ACCESS_LOG.shows(START)
async def what_cannot_be_made_ready_says_so(harness: AccessLogHarness) -> None:
    log = harness.faulty()
    if log is None:
        await _nothing_is_opened(harness, "it is said that each can be made ready")
        return
    try:
        await expect_within("the failure", log.start)
    except ConfigurationError as error:
        assert error.key_path, "the error does not name the key"
        assert error.expected, "the error does not say what was expected"
    else:
        raise AssertionError("what cannot be made ready was")
    finally:
        await _close(log)


@ACCESS_LOG.shows(WRITES)
async def records_are_written_in_order(harness: AccessLogHarness) -> None:
    async with _started(harness) as log:
        for number in range(50):
            log.record(_record(number))
        await until("records being written", lambda: len(harness.written()) >= 50)
        assert log.lost() is None, "records were lost though there was room"
    assert _numbers(harness.written()) == list(range(50)), f"{_numbers(harness.written())} were written of 0 to 49"


_ODD: Final = (
    "\n",
    "\r\n",
    "\x00",
    "\ud800",
    "\u2028",
    '"',
    "\\",
    "%s",
    "{0}",
    "\x1b[2J",
    "\x9b2J",
    "\u202e",
    "x" * 2000,
)
"""Texts that some have taken for something else."""


async def _lined(harness: AccessLogHarness, texts: Sequence[str]) -> None:
    before = len(harness.written())
    async with _started(harness) as log:
        for number, text in enumerate(texts):
            log.record(_record(number, f"/{text}"))
    lines = harness.written()[before:]
    assert _numbers(lines) == list(range(len(texts))), f"of {len(texts)} records there are {len(lines)} lines"
    odd = [line for line in lines if not line.isprintable()]
    assert not odd, f"what is written is more than a line to a terminal: {odd}"


@ACCESS_LOG.shows(LINE)
async def odd_texts_are_in_one_line(harness: AccessLogHarness) -> None:
    await _lined(harness, _ODD)


@ACCESS_LOG.shows(LINE, drawn=st.lists(st.text(st.characters(exclude_categories=()), max_size=30), max_size=5))
async def whatever_texts_there_are_are_in_one_line(harness: AccessLogHarness, texts: list[str]) -> None:
    await _lined(harness, texts)


@ACCESS_LOG.shows(WAITS_NOT)
async def recording_does_not_wait(harness: AccessLogHarness) -> None:
    if not harness.loses:
        return
    expect_at_most("waiting_records", harness.waiting_records, _MOST_WAITING_RECORDS)
    many = 2 * harness.waiting_records + 100
    async with _started(harness) as log:
        harness.block()
        try:
            for number in range(many):
                log.record(_record(number))
        finally:
            harness.unblock()
    kept = len(harness.written())
    assert kept, "no record waited to be written"
    expect_filled("waiting_records", harness.waiting_records, kept)
    async with _started(harness) as log:
        harness.spoil()
        for number in range(10):
            log.record(_record(number))


@ACCESS_LOG.shows(TOLD)
async def every_record_is_written_or_told_of(harness: AccessLogHarness) -> None:
    many = 2 * harness.waiting_records + 100 if harness.loses else _MANY_RECORDS
    told: list[tuple[int, str]] = []

    def ask(log: AccessLog) -> None:
        if (lost := log.lost()) is not None:
            told.append(lost)

    async with _started(harness) as log:
        if harness.loses:
            harness.block()
        for number in range(many):
            log.record(_record(number))
            ask(log)
        if harness.loses:
            harness.unblock()
    for _ in range(3):
        ask(log)
    written, lost = len(harness.written()), sum(count for count, _ in told)
    assert written + lost == many, f"{written} were written and {lost} lost of {many} records"
    assert all(count > 0 and reason for count, reason in told), f"{told} were told"
    assert harness.loses or not told, "records were lost by what says that it loses none"


@ACCESS_LOG.shows(TOLD)
async def records_that_cannot_be_written_are_told_of(harness: AccessLogHarness) -> None:
    if not harness.loses:
        return
    async with _started(harness) as log:
        harness.spoil()
        for number in range(10):
            log.record(_record(number))
    told = [each for each in (log.lost(), log.lost(), log.lost()) if each is not None]
    assert sum(count for count, _ in told) == 10, f"{told} was told of 10 records that could not be written"


@ACCESS_LOG.shows(REOPEN)
async def what_cannot_be_taken_away_is_in_no_file(harness: AccessLogHarness) -> None:
    if not harness.rotates:
        await _nothing_is_opened(harness, "it is said that nothing can be taken away")


@ACCESS_LOG.shows(REOPEN)
async def opened_anew_it_goes_on_elsewhere(harness: AccessLogHarness) -> None:
    async with _started(harness) as log:
        log.record(_record(0))
        await until("a record being written", lambda: len(harness.written()) == 1)
        aside = harness.take_away() if harness.rotates else []
        log.reopen()
        log.record(_record(1))
    written = _numbers([*aside, *harness.written()])
    assert written == [0, 1], f"{written} were written of 0 and 1"
    assert _numbers(aside) == ([0] if harness.rotates else []), "it writes to what was taken away"


@ACCESS_LOG.shows(CLOSE)
async def closing_writes_what_there_is(harness: AccessLogHarness) -> None:
    await _close(harness.log())
    log = harness.log()
    await log.start()
    for number in range(20):
        log.record(_record(number))
    await _close(log)
    assert _numbers(harness.written()) == list(range(20)), "closing did not write what there was"
    await _close(log)
    log.record(_record(20))
    if harness.loses:
        log = harness.log()
        await log.start()
        harness.block()
        try:
            log.record(_record(21))
            await _close(log)
        finally:
            harness.unblock()


@ACCESS_LOG.shows(CANCELS)
async def closing_cannot_be_cancelled(harness: AccessLogHarness) -> None:
    log = harness.log()
    await log.start()
    for number in range(20):
        log.record(_record(number))
    with anyio.CancelScope() as scope:
        scope.cancel()
        await log.aclose()
    written = _numbers(harness.written())
    await _close(log)
    assert written == list(range(20)), f"{len(written)} of 20 records were written, cancelled while closing"


@ACCESS_LOG.shows(NOTHING_LEFT)
async def nothing_is_left(harness: AccessLogHarness) -> None:
    async def use() -> None:
        async with _started(harness) as log:
            log.record(_record(0))
        faulty = harness.faulty()
        if faulty is not None:
            with suppress(ConfigurationError):
                await faulty.start()
            await _close(faulty)

    left = await left_behind(use, patience_s=_RELEASE_S)
    assert not left, f"left behind: {', '.join(left)}"


class AccessLogContract(ContractTests[AccessLogHarness]):
    """What every access log must do; a subclass says which harness, and may choose the event loop."""

    contract = ACCESS_LOG
    examples = 5
