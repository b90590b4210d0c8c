"""Child processes that tell when they are ready, and of which none is left in the end."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["Failed", "NotFound", "Process", "Processes", "accepts", "free_port", "program"]

_START_S: Final = 20.0
"""For a process to get ready; on a busy machine importing alone takes seconds."""

_GRACE_S: Final = 3.0
"""For a process to end after it was asked to; then it is killed."""

_LOOK_S: Final = 0.05
_PORTS: Final = range(10_000, 20_000)
"""Below those of the tests, too."""

_SYSTEM_FOLDERS: Final = "/usr/sbin:/usr/local/sbin:/sbin:/opt/homebrew/bin"
"""Where sshd and nginx often are, outside an ordinary user's PATH."""


class NotFound(Exception):
    """A program is not installed."""


class Failed(Exception):
    """Something should have worked, and did not."""


@dataclass(frozen=True)
class Process:
    """A running child whose output goes to a file."""

    name: str
    child: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        """Root of its process tree, and its process group."""
        return self.child.pid

    def until(self, ready: Callable[[], str | None]) -> str:
        """Return what ``ready`` returns once it returns something.

        Raises:
            Failed: The process ended before, or time is up.
        """
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            if (found := ready()) is not None:
                return found
            if self.child.poll() is not None:
                break
            time.sleep(_LOOK_S)
        state = "did not get ready" if self.child.poll() is None else f"ended with {self.child.returncode}"
        last = self.log.read_text(errors="replace").splitlines()[-1:]
        raise Failed(f"{self.name} {state}: {''.join(last)}")

    def until_logged(self, pattern: str) -> str:
        """Return group 1 of the first match of ``pattern`` in its output; raises as ``until`` does."""

        def logged() -> str | None:
            match = re.search(pattern, self.log.read_text(errors="replace"))
            return match[1] if match else None

        return self.until(logged)


class Processes:
    """Starts processes, each in a group of its own, and ends every one of them in the end.

    Args:
        directory: For their logs.
    """

    def __init__(self, directory: Path) -> None:
        self.directory: Final = directory
        self._started: Final[list[Process]] = []
        self._branches: Final[list[Processes]] = []

    def branch(self) -> Processes:
        """Some that may be ended before the others, and are ended with them at the latest; in a directory below."""
        branch = Processes(Path(tempfile.mkdtemp(dir=self.directory)))
        self._branches.append(branch)
        return branch

    def start(self, name: str, *command: str | Path, environment: Mapping[str, str] | None = None) -> Process:
        """Start ``command``. Its standard input is empty; ``environment`` is added to ours."""
        log = self.directory / f"{name}.log"
        with log.open("wb") as output:
            child = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
        process = Process(name, child, log)
        self._started.append(process)
        return process

    def stop_all(self) -> None:
        """End them all, the last first: politely, then not."""
        for branch in self._branches:
            branch.stop_all()
        for number in (signal.SIGTERM, signal.SIGKILL):
            running = [process for process in reversed(self._started) if process.child.poll() is None]
            for process in running:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, number)
            deadline = time.monotonic() + _GRACE_S
            for process in running:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.child.wait(timeout=max(0.0, deadline - time.monotonic()))


def accepts(address: str) -> Callable[[], str | None]:
    """A test for ``Process.until``: somebody listens on ``host:port``. It returns the address."""
    host, _, port = address.rpartition(":")

    def probe() -> str | None:
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError:
            return None
        return address

    return probe


def free_port() -> int:
    """A port of loopback that was free a moment ago, below those that the system takes by itself for connections."""
    while True:
        port = secrets.choice(_PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def program(name: str) -> str:
    """Full path of a program.

    Raises:
        NotFound: It is not on PATH, nor where daemons usually are.
    """
    path = shutil.which(name) or shutil.which(name, path=_SYSTEM_FOLDERS)
    if path is None:
        raise NotFound(f"{name} not found")
    return path
