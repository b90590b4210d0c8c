"""Terminals: commands that end, and commands that go on running."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from support.pages.screen import Pipe, Screen

__all__ = ["Running", "Terminal", "reader_environment"]

_HEARD_S: Final = 60.0
_END_S: Final = 20.0

_INTERRUPTED: Final = {0, 1, 130, -signal.SIGINT}
"""How commands end that are interrupted; 1 is Python's own, after the traceback of KeyboardInterrupt."""

# Whatever a block did to its directory and its environment holds for the next one.
_REMEMBER: Final = "trap '{ pwd; env -0; } >\"$WALK_STATE\"' EXIT\n"


class Terminal:
    """One directory and one environment, which commands may change for those that come after them.

    Args:
        directory: Where it begins.
        environment: All of it.
        state: File for what has to be remembered between two commands.
    """

    def __init__(self, directory: Path, environment: Mapping[str, str], state: Path) -> None:
        self.directory = directory
        self.environment = dict(environment)
        self.running: Final[list[Running]] = []
        self._state: Final = state
        self._heard: Final = threading.Condition()

    def run(self, script: str, *, limit_s: float) -> tuple[int, list[str]]:
        """Type ``script``, wait for its end, and return the status and what was printed on either output.

        The first command that fails ends it, and so does ``limit_s``, in seconds.
        """
        process = subprocess.Popen(
            ["bash", "-e", "-o", "pipefail", "-c", _REMEMBER + script],
            cwd=self.directory,
            env=self.environment | {"WALK_STATE": str(self._state)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            printed, _ = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            # What it started may hold its output open, too.
            os.killpg(process.pid, signal.SIGKILL)
            printed, _ = process.communicate()
            return -signal.SIGKILL, [*printed.splitlines(), f"stopped after {limit_s:g} s; does it stay?"]
        directory, _, variables = self._state.read_text().partition("\n")
        self.directory = Path(directory)
        self.environment = dict(each.split("=", 1) for each in variables.split("\0") if each)
        return process.returncode, printed.splitlines()

    def start(self, script: str, *, drawn: bool = False) -> Running:
        """Type ``script`` in another terminal with the same directory and environment, and go on.

        Args:
            script: What to type.
            drawn: Whether it is to take its output for a screen, as it would where a person types.
        """
        output = Screen() if drawn else Pipe()
        self.running.append(Running(script, self.directory, self.environment, self._heard, output))
        return self.running[-1]

    def wait_until(self, holds: Callable[[], bool]) -> bool:
        """Whether ``holds`` came true, of what the running commands print, before all ended or time was up."""
        deadline = time.monotonic() + _HEARD_S
        with self._heard:
            while not holds():
                left_s = deadline - time.monotonic()
                if left_s <= 0 or all(each.ended for each in self.running):
                    return False
                self._heard.wait(left_s)
            return True

    def close(self) -> list[str]:
        """Stop what runs, the last first since it needs the others, and say what had ended badly."""
        return [end for each in reversed(self.running) if (end := each.stop()) is not None]


class Running:
    """A command that goes on. What it prints on either output is in ``lines``."""

    def __init__(
        self,
        script: str,
        directory: Path,
        environment: Mapping[str, str],
        heard: threading.Condition,
        output: Pipe | Screen,
    ) -> None:
        self.lines: Final[list[str]] = []
        self.ended = False
        self._script: Final = script
        self._heard: Final = heard
        self._process: Final = subprocess.Popen(
            ["bash", "-c", script],
            cwd=directory,
            env={**environment, **output.environment, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=output.written,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._output: Final = output
        output.opened()
        self._reader: Final = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self._output.lines():
            with self._heard:
                self.lines.append(line)
                self._heard.notify_all()
        with self._heard:
            self.ended = True
            self._heard.notify_all()

    def stop(self) -> str | None:
        """Interrupt it as Ctrl-C does; None when it ended well, else what it said."""
        early = self._process.poll()
        try:
            # Also where it has ended: what it started may be left.
            os.killpg(self._process.pid, signal.SIGINT)
        except ProcessLookupError:
            pass
        try:
            status = self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            status = self._process.wait()
        self._reader.join(_END_S)
        if early is None and status in _INTERRUPTED:
            return None
        return f"{self._script!r} ended with {status}:\n" + "\n".join(self.lines[-30:])


_LEFT_OUT: Final = {"TUNNEL_TOKEN", "TUNNEL_FULL", "VIRTUAL_ENV", "PYTHONHOME"}


def reader_environment(programs: Path) -> dict[str, str]:
    """The environment of this process without what concerns its tests.

    Args:
        programs: Folder in which ``python3`` and ``tunnel`` are found first.
    """
    kept = {
        name: value for name, value in os.environ.items() if name not in _LEFT_OUT and not name.startswith("PYTEST")
    }
    return kept | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "NO_COLOR": "1", "COLUMNS": "120"}
