"""The scenarios that show the rules of access logs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final

import anyio
from hypothesis import strategies as st

from tunnel.domain.errors import ConfigurationError
from tunnel.ports.access_log import AccessLog
from tunnel.ports.telemetry import SessionEnded
from tunnel.testing.access_log import rules
from tunnel.testing.access_log.harness import AccessLogHarness
from tunnel.testing.access_log.rules import ACCESS_LOG
from tunnel.testing.declared import expect_at_most, expect_filled
from tunnel.testing.holdings import Holdings, left_behind
from tunnel.testing.patience import expect_within, until

__all__: list[str] = []

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


@ACCESS_LOG.shows(rules.WANTS)
async def it_says_whether_it_wants_a_conversation(harness: AccessLogHarness) -> None:
    async with _started(harness) as log:
        wants = log.wants()
        assert wants is True, f"{wants!r} is not True, as it is to want everything"


@ACCESS_LOG.shows(rules.START)
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


@ACCESS_LOG.shows(rules.WRITES)
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


@ACCESS_LOG.shows(rules.LINE)
async def odd_texts_are_in_one_line(harness: AccessLogHarness) -> None:
    await _lined(harness, _ODD)


@ACCESS_LOG.shows(rules.LINE, drawn=st.lists(st.text(st.characters(exclude_categories=()), max_size=30), max_size=5))
async def whatever_texts_there_are_are_in_one_line(harness: AccessLogHarness, texts: list[str]) -> None:
    await _lined(harness, texts)


@ACCESS_LOG.shows(rules.WAITS_NOT)
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


@ACCESS_LOG.shows(rules.TOLD)
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


@ACCESS_LOG.shows(rules.TOLD)
async def records_that_cannot_be_written_are_told_of(harness: AccessLogHarness) -> None:
    if not harness.loses:
        return
    async with _started(harness) as log:
        harness.spoil()
        for number in range(10):
            log.record(_record(number))
    told = [each for each in (log.lost(), log.lost(), log.lost()) if each is not None]
    assert sum(count for count, _ in told) == 10, f"{told} was told of 10 records that could not be written"


@ACCESS_LOG.shows(rules.REOPEN)
async def what_cannot_be_taken_away_is_in_no_file(harness: AccessLogHarness) -> None:
    if not harness.rotates:
        await _nothing_is_opened(harness, "it is said that nothing can be taken away")


@ACCESS_LOG.shows(rules.REOPEN)
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


@ACCESS_LOG.shows(rules.CLOSE)
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


@ACCESS_LOG.shows(rules.CANCELS)
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


@ACCESS_LOG.shows(rules.NOTHING_LEFT)
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
