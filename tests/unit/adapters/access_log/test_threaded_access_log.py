import asyncio
import errno
import os
import random
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from tunnel.adapters.access_log import ThreadedAccessLog
from tunnel.adapters.access_log.log_file import LogFile
from tunnel.domain.errors import ConfigurationError
from tunnel.ports.telemetry import SessionEnded

pytestmark = pytest.mark.anyio

DEADLINE_S = 10.0


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunnel.adapters.access_log.access_log._LINGER_S", 0.001)


def ended(path: str = "/") -> SessionEnded:
    return SessionEnded(protocol="http", path=path, outcome="ok", duration_s=0.1)


class FakeFile(LogFile):
    """A disk that takes what ``gate`` lets through, and fails as told."""

    def __init__(self) -> None:
        super().__init__("-")
        self.gate = threading.Event()
        self.gate.set()
        self.writing = threading.Event()
        self.failure: OSError | None = None
        self.lines: list[bytes] = []
        self.pieces = 0

    def write(self, lines: bytes) -> None:
        self.writing.set()
        assert self.gate.wait(DEADLINE_S)
        self.pieces += 1
        if self.failure is not None:
            raise self.failure
        self.lines += lines.splitlines(keepends=True)


class Seconds:
    """A clock."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def make(path: str | Path = "-", file: LogFile | None = None, **options: object) -> ThreadedAccessLog:
    options = {"format": "text", "sample": 1.0, "random": random.Random(1)} | options
    return ThreadedAccessLog(str(path), file=file, **options)  # type: ignore[arg-type]


@asynccontextmanager
async def running(log: ThreadedAccessLog) -> AsyncIterator[ThreadedAccessLog]:
    await log.start()
    try:
        yield log
    finally:
        await log.aclose()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - the thread tells nobody
            await asyncio.sleep(0.001)


async def test_records_are_written_in_order_and_all_of_them_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    async with running(make(path)) as log:
        for number in range(500):
            log.record(ended(f"/{number}"))

    assert [line.split(" path=")[1].split()[0] for line in path.read_text().splitlines()] == [
        f"/{number}" for number in range(500)
    ]
    assert log.lost() is None


async def test_records_are_written_without_anybody_closing(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    async with running(make(path)) as log:
        for number in (1, 2):  # the second one after the thread has rested
            log.record(ended())
            await until(lambda number=number: path.read_bytes().count(b"\n") == number)


async def test_file_is_appended_to_and_not_for_everybody(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    for _ in range(2):
        async with running(make(path)) as log:
            log.record(ended())

    assert path.read_bytes().count(b"\n") == 2
    assert path.stat().st_mode & 0o007 == 0


async def test_blocked_disk_blocks_nobody_and_what_does_not_fit_is_told_once_it_takes_more() -> None:
    file, seconds = FakeFile(), Seconds()
    async with running(make(file=file, max_records=10, monotonic=seconds)) as log:
        file.gate.clear()
        log.record(ended("/first"))
        await until(file.writing.is_set)

        for _ in range(25):
            log.record(ended())
        # Not while it is blocked: whoever is told may write to the same place.
        assert log.lost() is None

        file.gate.set()
        await until(lambda: len(file.lines) == 11)
        assert log.lost() == (15, "the queue was full")
        assert log.lost() is None


async def test_losses_are_told_once_in_ten_seconds() -> None:
    file, seconds = FakeFile(), Seconds()
    file.failure = OSError(errno.ENOSPC, "No space left on device")
    async with running(make(file=file, monotonic=seconds)) as log:

        async def lose() -> None:
            pieces = file.pieces
            log.record(ended())
            await until(lambda: log._pieces > pieces)

        await lose()
        assert log.lost() == (1, "No space left on device")
        await lose()
        await lose()
        assert log.lost() is None
        seconds.now += 10
        assert log.lost() == (2, "No space left on device")

        file.failure = None
        log.record(ended("/after"))
        await until(lambda: file.lines)


async def test_disk_that_stays_blocked_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunnel.adapters.access_log.access_log._CLOSE_S", 0.01)
    file = FakeFile()
    log = make(file=file)
    await log.start()
    thread = log._thread
    file.gate.clear()
    log.record(ended())
    await until(file.writing.is_set)
    log.record(ended())

    async with asyncio.timeout(DEADLINE_S):
        await log.aclose()

    assert log.lost() == (1, "the queue was full")
    file.gate.set()
    assert thread is not None
    await asyncio.to_thread(thread.join, DEADLINE_S)


async def test_nothing_is_taken_after_the_end_and_ending_twice_is_no_error() -> None:
    file = FakeFile()
    async with running(make(file=file)) as log:
        log.record(ended())
    log.record(ended())
    await log.aclose()

    assert len(file.lines) == 1
    assert log.lost() is not None


async def test_cancelled_end_still_writes_what_there_is() -> None:
    file = FakeFile()
    log = make(file=file)
    await log.start()
    log.record(ended())
    file.gate.clear()
    await until(file.writing.is_set)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(log.aclose)
        await until(lambda: log._closing)
        tasks.cancel_scope.cancel()
        file.gate.set()

    assert len(file.lines) == 1


async def test_renamed_file_is_left_for_a_new_one_of_the_name(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    async with running(make(path)) as log:
        log.record(ended("/before"))
        await until(lambda: b"/before" in path.read_bytes())
        path.rename(tmp_path / "access.log.1")
        log.record(ended("/after"))
        await until(lambda: path.exists() and b"/after" in path.read_bytes())

    assert b"/after" not in (tmp_path / "access.log.1").read_bytes()


async def test_file_is_opened_anew_when_told_to(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    async with running(make(path)) as log:
        before = path.stat()
        log.reopen()
        log.record(ended())
        await until(lambda: path.stat().st_size)

        assert path.stat().st_ino == before.st_ino
        path.unlink()
        log.record(ended("/new"))
        await until(lambda: path.exists() and b"/new" in path.read_bytes())


async def test_file_that_cannot_be_written_is_a_mistake_of_the_configuration(tmp_path: Path) -> None:
    log = make(tmp_path / "missing" / "access.log")

    with pytest.raises(ConfigurationError, match="No such file") as caught:
        await log.start()

    assert caught.value.key_path == "access_log.path"
    await log.aclose()


async def test_directory_that_goes_away_costs_records_until_it_is_back(tmp_path: Path) -> None:
    directory = tmp_path / "logs"
    directory.mkdir()
    path = directory / "access.log"
    async with running(make(path)) as log:
        path.unlink()
        directory.rmdir()
        log.record(ended())
        await until(lambda: log._unwritten)
        assert log.lost() == (1, "No such file or directory")
        directory.mkdir()
        log.record(ended())
        await until(path.exists)


async def test_standard_error_is_written_and_left_open(capfd: pytest.CaptureFixture[str]) -> None:
    async with running(make("-", format="json")) as log:
        log.record(ended())

    assert capfd.readouterr().err.startswith('{"time":"')
    os.fstat(2)


def test_share_of_the_conversations_is_recorded() -> None:
    log = make(sample=0.25)

    assert 200 < sum(log.wants() for _ in range(1000)) < 300
    assert all(make(sample=1).wants() for _ in range(100))
