"""Results that a program reads slowly, or not at all."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator

import pytest

from tunnel.app.cli import result_lines
from tunnel.app.cli.result_lines import ResultLines

LINE = "x" * 99
MUCH = 2_000
"""Lines: more than any pipe takes."""


def lost_line(count: int) -> str:
    return f"lost {count}"


@pytest.fixture
def ends() -> Iterator[tuple[io.TextIOWrapper, io.TextIOWrapper]]:
    """Of a pipe: to read from, and to write to."""
    reader, writer = os.pipe()
    # A thread that still writes is told that nobody reads before its descriptor is closed.
    with open(writer, "w") as writing, open(reader) as reading:
        yield reading, writing


def test_nobody_who_writes_waits_for_a_reader_and_a_slow_one_gets_all(ends, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(result_lines, "_PATIENCE_S", 0.2)
    reading, writing = ends
    lines = ResultLines(writing, lost_line=lost_line)
    for _ in range(MUCH):
        lines.write(LINE)
    settled = threading.Event()

    def settle() -> None:
        lines.settle()
        settled.set()

    waiting = threading.Thread(target=settle)
    waiting.start()
    seen = [reading.readline() for _ in range(MUCH)]
    waiting.join()
    assert settled.is_set()
    assert seen == [f"{LINE}\n"] * MUCH


def test_reader_that_takes_nothing_is_not_waited_for_at_the_end(ends, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(result_lines, "_PATIENCE_S", 0.01)
    _, writing = ends
    lines = ResultLines(writing, lost_line=lost_line)
    for _ in range(MUCH):
        lines.write(LINE)
    lines.settle()


def test_reader_that_is_gone_is_told(ends) -> None:
    reading, writing = ends
    failures: list[OSError] = []
    lines = ResultLines(writing, lost_line=lost_line)
    reading.close()
    lines.write("nobody wants to know yet")
    lines.settle()
    lines.on_failure = failures.append
    lines.write(LINE)
    lines.settle()
    assert [type(each) for each in failures] == [BrokenPipeError]


def test_what_did_not_fit_is_told(ends, monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = ends
    lines = ResultLines(writing, lost_line=lost_line)

    def none_left(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", none_left)
        lines.write("lost")
    lines.write("heard")
    assert [reading.readline() for _ in range(2)] == ["heard\n", "lost 1\n"]


def test_stream_in_memory_is_written_to_at_once() -> None:
    stream = io.StringIO()
    lines = ResultLines(stream, lost_line=lost_line)
    lines.write("one")
    lines.write("two")
    lines.settle()
    assert stream.getvalue() == "one\ntwo\n"


def test_stream_in_memory_that_fails_is_told_like_any_other() -> None:
    class Full(io.StringIO):
        def write(self, line: str) -> int:
            raise OSError(28, "No space left on device")

    failures: list[OSError] = []
    lines = ResultLines(Full(), lost_line=lost_line)
    lines.on_failure = failures.append
    lines.write("one")
    assert [each.errno for each in failures] == [28]
