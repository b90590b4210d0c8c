"""Processes that tell when they are ready, show their stderr on failure and never outlive the tests."""

import atexit
import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from e2e_forks import Fork, can_fork

HERE = Path(__file__).parent
READY_S = 20.0
EXIT_S = 20.0


class FairDeadline:
    """Time to wait for processes: one that hangs is found out as soon, and one that others slow down not taken for it.

    Time during which a process was ready to run and the machine did not let it does not count.
    """

    def __init__(self, deadline_s: float, processes: "list[Process]") -> None:
        self._deadline_s = deadline_s
        self._began = time.monotonic()
        self._before = {process: starved_s(process) for process in processes}

    def left_s(self) -> float:
        """Seconds that are left; none when it is not above 0."""
        starved = sum(max(0, starved_s(process) - waited) for process, waited in self._before.items())
        return self._deadline_s + starved - (time.monotonic() - self._began)


class Process:
    """A child process with its stdin and its stderr in our hands.

    Its stdout goes to the same place as its stderr, since either may hold the reason for a failure.
    """

    running: "list[Process]" = []  # noqa: RUF012 - one list for the whole run: it is what the atexit hook kills

    def __init__(self, name: str, *arguments: str, env: dict[str, str] | None = None) -> None:
        self.name = name
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._ended = False
        self._popen = started([*arguments], {**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})})
        self.running.append(self)
        self._follower = threading.Thread(target=self._follow, daemon=True)
        self._follower.start()

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def _follow(self) -> None:
        assert self._popen.stdout is not None
        for line in self._popen.stdout:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def matches(self, pattern: str, *, after_line: int = 0) -> list[re.Match[str]]:
        return [found for line in self.lines[after_line:] if (found := re.search(pattern, line))]

    def wait_for(self, pattern: str, *, after_line: int = 0, deadline_s: float = READY_S) -> re.Match[str]:
        """Return the first match in the output, from line `after_line` on; fail when the process ends or time is up."""
        deadline = FairDeadline(deadline_s, self.running)
        with self._changed:
            while not (found := self.matches(pattern, after_line=after_line)):
                left = deadline.left_s()
                if self._ended or left <= 0:
                    how = "ended" if self._ended else f"did not within {deadline_s} s"
                    raise AssertionError(f"{self.name} {how} without printing {pattern!r}:\n{self.output}")
                self._changed.wait(left)
        return found[0]

    def tell(self, line: str) -> None:
        assert self._popen.stdin is not None
        self._popen.stdin.write(line + "\n")
        self._popen.stdin.flush()

    def signal(self, number: signal.Signals) -> None:
        self._popen.send_signal(number)

    def wait(self, deadline_s: float = EXIT_S) -> int:
        """Return the exit code once the process has ended and all it said has been read."""
        deadline = FairDeadline(deadline_s, self.running)
        while True:
            left = deadline.left_s()
            try:
                code = self._popen.wait(max(0, left))
            except subprocess.TimeoutExpired:
                if left <= 0:
                    raise AssertionError(f"{self.name} still runs after {deadline_s} s:\n{self.output}") from None
            else:
                self._follower.join(deadline_s)
                return code

    def kill(self) -> None:
        """End it at once, without a chance to say goodbye."""
        self._popen.kill()
        self._popen.wait()
        self._follower.join(EXIT_S)
        for stream in (self._popen.stdin, self._popen.stdout):
            with contextlib.suppress(OSError):
                stream.close()
        if self in self.running:
            self.running.remove(self)

    def peak_memory_bytes(self) -> int | None:
        """Return the most memory it ever had resident (VmHWM), None where the kernel does not tell."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text()
        except OSError:
            return None
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        return int(found[1]) * 1024 if found else None

    @classmethod
    def kill_all(cls) -> None:
        for process in [*cls.running]:
            process.kill()


def starved_s(process: Process) -> float:
    """How long it has waited for a processor so far; 0 where the kernel does not tell, or when it has ended."""
    try:
        return int(Path(f"/proc/{process.pid}/schedstat").read_text().split()[1]) / 1e9
    except OSError:
        return 0


atexit.register(Process.kill_all)


def started(arguments: list[str], environment: dict[str, str]) -> "subprocess.Popen[str] | Fork":
    """Start Python; by a fork where that makes no difference, since importing takes far longer than most tests."""
    if can_fork(environment):
        return Fork(arguments, environment)
    return subprocess.Popen(
        [sys.executable, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        text=True,
        errors="replace",
    )


def address_of(match: re.Match[str]) -> tuple[str, int]:
    host, _, port = match[1].rpartition(":")
    return host, int(port)


def start_upstream(app: str = "upstream_app.py", *arguments: str) -> tuple[Process, tuple[str, int]]:
    process = Process("upstream", str(HERE / app), *arguments)
    return process, address_of(process.wait_for(r"listening address=(\S+)"))


def start_shaping_proxy(
    target: tuple[str, int], *, delay_ms: float = 0, rate: float | None = None
) -> tuple[Process, tuple[str, int]]:
    """Start a link of `delay_ms` each way and, if given, `rate` bytes a second each way, in front of `target`."""
    options = ["--delay-ms", str(delay_ms), *(["--rate", str(rate)] if rate else [])]
    process = Process("link", str(HERE / "shaping_proxy.py"), f"{target[0]}:{target[1]}", *options)
    return process, address_of(process.wait_for(r"listening address=(\S+)"))
