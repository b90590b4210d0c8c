"""Log lines that nobody reads: who logs goes on, and what is lost is told."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tunnel.app.log_writer import LogWriter

DEADLINE_S = 30.0
LINE = b"x" * 99 + b"\n"
MUCH = 2_000
"""Lines: more than any pipe takes."""


class Pipe:
    def __init__(self) -> None:
        self.end, self.descriptor = os.pipe()

    def read(self, size: int) -> bytes:
        data = b""
        while len(data) < size and (piece := os.read(self.end, size - len(data))):
            data += piece
        return data

    def close(self) -> None:
        for descriptor in (self.end, self.descriptor):
            if descriptor >= 0:
                os.close(descriptor)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.close()


def lost_line(lines: int) -> bytes:
    return b"lost %d\n" % lines


def accounted_for(seen: bytes) -> int:
    """Lines that came, and those that are told to be lost."""
    return seen.count(LINE) + sum(int(each) for each in re.findall(rb"^lost (\d+)\n", seen, re.MULTILINE))


def writer(pipe: Pipe, **options: Any) -> LogWriter:
    return LogWriter(pipe.descriptor, lost_line=lost_line, **options)


def test_lines_are_written_in_order(pipe: Pipe) -> None:
    log = writer(pipe)
    lines = [b"line %d\n" % number for number in range(100)]
    for line in lines:
        log.write(line)
    assert log.flush(DEADLINE_S)
    assert pipe.read(len(b"".join(lines))) == b"".join(lines)


def test_nobody_who_logs_waits_for_a_reader_and_nothing_that_fits_is_lost(pipe: Pipe) -> None:
    log = writer(pipe)
    for _ in range(MUCH):
        log.write(LINE)
    assert not log.flush(0.01)
    assert pipe.read(MUCH * len(LINE)) == LINE * MUCH
    assert log.flush(DEADLINE_S)


def test_what_does_not_fit_is_told_when_somebody_reads_again(pipe: Pipe) -> None:
    log = writer(pipe, max_bytes=200 * len(LINE))
    for _ in range(MUCH):
        log.write(LINE)
    seen = b""
    while accounted_for(seen) < MUCH:
        seen += os.read(pipe.end, 1 << 16)
    assert accounted_for(seen) == MUCH
    assert seen.count(LINE) >= 200
    log.write(b"again\n")
    assert pipe.read(6) == b"again\n"


def test_reader_that_leaves_is_no_failure(pipe: Pipe) -> None:
    log = writer(pipe)
    os.close(pipe.end)
    pipe.end = -1
    for _ in range(3):
        log.write(LINE)
        assert log.flush(DEADLINE_S)


def test_failure_is_told_to_whoever_wants_to_know(pipe: Pipe) -> None:
    failures: list[OSError] = []
    log = writer(pipe, on_failure=failures.append)
    log.write(LINE)
    assert log.flush(DEADLINE_S)
    assert (log.written_bytes, failures) == (len(LINE), [])
    os.close(pipe.end)
    pipe.end = -1
    log.write(LINE)
    assert log.flush(DEADLINE_S)
    assert [type(each) for each in failures] == [BrokenPipeError]
    assert log.written_bytes == len(LINE)


def test_descriptor_that_does_not_wait_is_waited_for(pipe: Pipe) -> None:
    os.set_blocking(pipe.descriptor, False)
    log = writer(pipe)
    for _ in range(MUCH):
        log.write(LINE)
    assert pipe.read(MUCH * len(LINE)) == LINE * MUCH


def test_process_without_threads_loses_lines_and_tells(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    log = writer(pipe)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", none_left)
        log.write(LINE)
    log.write(b"heard\n")
    assert pipe.read(13) == b"heard\nlost 1\n"


LOGGING = """
import logging, sys
from tunnel.app.cli.output import write_error
from tunnel.app.logging import configure_logging
configure_logging(sys.argv[1])
for number in range(12_000):
    logging.getLogger("tunnel").warning("line %d of a log that nobody reads %s", number, "x" * 1000)
print("served", flush=True)
sys.stdin.readline()
logging.getLogger("tunnel").warning("the last one")
write_error("ended")
"""


@pytest.mark.parametrize("format", ["text", "json"])
def test_process_goes_on_while_nobody_reads_its_standard_error(format: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", LOGGING, format],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "served\n"
        lines: list[str] = []
        while not any("log_lines_lost" in line for line in lines):
            lines.append(process.stderr.readline())
        process.stdin.write("\n")
        process.stdin.flush()
        lines += process.stderr.readlines()
        assert process.wait(DEADLINE_S) == 0
    assert "line 0 of" in lines[0]
    assert "the last one" in lines[-2]
    assert lines[-1] == "ended\n"


def test_process_ends_while_nobody_reads_its_standard_error() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", LOGGING, "text"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.wait(DEADLINE_S) == 0
