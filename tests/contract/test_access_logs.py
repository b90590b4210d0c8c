"""Access logs under their contract, that in memory included."""

from __future__ import annotations

import random
import shutil
import tempfile
import threading
from pathlib import Path

from support.fake_access_log import FakeLog

from tunnel.adapters.access_log import ThreadedAccessLog
from tunnel.adapters.access_log.log_file import LogFile
from tunnel.domain.configuration import AccessLogSettings
from tunnel.testing.access_log import AccessLogContract, AccessLogHarness

ROOM = 100
DEADLINE_S = 10.0


class HamperedFile(LogFile):
    """A file on a disk that can be slow, or full."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.gate = threading.Event()
        self.gate.set()
        self.full = False
        self._at_work = threading.Lock()
        self._left = False

    def write(self, lines: bytes) -> None:
        assert self.gate.wait(DEADLINE_S)
        if self.full:
            raise OSError(28, "No space left on device")
        with self._at_work:
            if not self._left:
                super().write(lines)

    def leave(self) -> None:
        """Write nothing more. A log that nobody closes, since a check failed, has a thread that goes on."""
        with self._at_work:
            self._left = True


class ThreadedHarness(AccessLogHarness):
    waiting_records = ROOM + 64  # what the thread has taken is written in pieces of so many
    max_records = ROOM
    format = "text"

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="tunnel-"))
        self._path = self._folder / "access.log"
        self._files: list[HamperedFile] = []

    def _log(self, path: Path) -> ThreadedAccessLog:
        self._files.append(HamperedFile(str(path)))
        return ThreadedAccessLog(
            str(path),
            format=self.format,  # type: ignore[arg-type]
            sample=1.0,
            random=random.Random(1),
            max_records=self.max_records,
            file=self._files[-1],
        )

    def log(self) -> ThreadedAccessLog:
        return self._log(self._path)

    def written(self) -> list[str]:
        return self._path.read_text().split("\n")[:-1] if self._path.exists() else []

    def faulty(self) -> ThreadedAccessLog:
        return self._log(self._folder)

    def take_away(self) -> list[str]:
        aside = self._path.rename(self._folder / "access.log.1")
        return aside.read_text().splitlines()

    def block(self) -> None:
        self._files[-1].gate.clear()

    def unblock(self) -> None:
        self._files[-1].gate.set()

    def spoil(self) -> None:
        self._files[-1].full = True

    def close(self) -> None:
        for file in self._files:
            file.leave()
        shutil.rmtree(self._folder)


class JsonHarness(ThreadedHarness):
    format = "json"


class FakeHarness(AccessLogHarness):
    loses = False
    rotates = False

    def __init__(self) -> None:
        self._logs: list[FakeLog] = []

    def log(self) -> FakeLog:
        self._logs.append(FakeLog(AccessLogSettings(path="-")))
        return self._logs[-1]

    def written(self) -> list[str]:
        return [repr(record) for log in self._logs for record in log.records]

    def faulty(self) -> FakeLog:
        return FakeLog(AccessLogSettings(path="unwritable"))


class TestThreadedAccessLog(AccessLogContract):
    harness = ThreadedHarness


class TestThreadedAccessLogOnTrio(AccessLogContract):
    harness = ThreadedHarness
    event_loop = "trio"


class TestThreadedAccessLogInJson(AccessLogContract):
    harness = JsonHarness


class TestFakeLog(AccessLogContract):
    harness = FakeHarness
