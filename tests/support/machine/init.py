"""Stands for systemd on a machine of one's own: runs what units say, below the directory ``MACHINE``.

It goes on running; ``bin/systemctl`` says what to do. Units start, reload and stop with the commands that are in them;
paths below /etc, /opt and /var lead below ``MACHINE``. What they print, it prints. A unit that names a user whom nobody
has made, that does not start, or that does not end well within its time, is an error.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socketserver
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Final

MACHINE: Final = Path(os.environ["MACHINE"])
PORT: Final = MACHINE / "init.port"
_MOVED: Final = re.compile(r"(?<![\w.])/(?=(?:etc|opt|var)/)")
_KEPT: Final = ("PATH", "SSL_CERT_FILE", "COLUMNS")


class UnitError(Exception):
    """What ``systemctl`` says before it fails."""


class Unit:
    """A service, by its file."""

    def __init__(self, name: str) -> None:
        self._instance: Final = name.partition("@")[2].removesuffix(".service")
        file = MACHINE / "etc/systemd/system" / re.sub(r"@.*", "@.service", name)
        if not file.exists():
            raise UnitError(f"Unit {name} not found.")
        self._said: Final[defaultdict[str, list[str]]] = defaultdict(list)
        for line in file.read_text().splitlines():
            key, equals, value = line.partition("=")
            if equals and not line.startswith("#"):
                self._said[key].append(value)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Run ExecStart."""
        if self._process is not None and self._process.poll() is None:
            return
        for user in self._said["User"]:
            if user not in (MACHINE / "etc/passwd").read_text().split():
                raise UnitError(f"Failed to determine user credentials: no user {user}")
        for directory in self._said["LogsDirectory"]:
            (MACHINE / "var/log" / directory).mkdir(parents=True, exist_ok=True)
        self._process = subprocess.Popen(self._command("ExecStart")[0], env=_environment())

    def reload(self) -> None:
        """Run each ExecReload."""
        assert self._process is not None
        for command in self._command("ExecReload"):
            done = subprocess.run(command, env=_environment(), capture_output=True, text=True)
            if done.returncode:
                raise UnitError(f"Job failed.\n{done.stdout}{done.stderr}".strip())

    def stop(self) -> None:
        """Have it end in the time that it has."""
        if self._process is None:
            return
        self._process.terminate()
        status = self._process.wait(float(self._said["TimeoutStopSec"][0]))
        self._process = None
        if status not in (0, -signal.SIGINT):
            raise UnitError(f"Failed with result 'exit-code': {status}")

    def _command(self, key: str) -> list[list[str]]:
        pid = str(self._process.pid) if self._process is not None else ""
        return [
            shlex.split(moved(line.replace("%i", self._instance).replace("$MAINPID", pid))) for line in self._said[key]
        ]


def moved(text: str) -> str:
    """Paths of a machine, below the directory that stands for it."""
    return _MOVED.sub(f"{MACHINE}/", text)


def _environment() -> dict[str, str]:
    return {name: os.environ[name] for name in _KEPT if name in os.environ} | {"PYTHONUNBUFFERED": "1"}


class Orders(socketserver.StreamRequestHandler):
    """One call of ``systemctl``: its arguments come as a line of JSON, what to print goes back."""

    units: Final[dict[str, Unit]] = {}

    def handle(self) -> None:
        verb, *names = (each for each in json.loads(self.rfile.readline()) if not each.startswith("-"))
        try:
            for name in names:
                self._do(verb, name if name.endswith(".service") else f"{name}.service")
        except (UnitError, subprocess.TimeoutExpired) as exc:
            self.wfile.write(f"{exc}\n".encode())

    def _do(self, verb: str, name: str) -> None:
        unit = self.units.get(name) or self.units.setdefault(name, Unit(name))
        if verb in ("stop", "restart"):
            unit.stop()
        if verb in ("start", "restart", "enable"):
            self.units[name] = Unit(name) if verb == "restart" else unit
            self.units[name].start()
        if verb == "reload":
            unit.reload()


def main() -> int:
    for directory in ("etc/systemd/system", "opt", "var/log"):
        (MACHINE / directory).mkdir(parents=True)
    with socketserver.TCPServer(("127.0.0.1", 0), Orders) as server:
        PORT.write_text(str(server.server_address[1]))
        print("the machine is up", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            for unit in Orders.units.values():
                unit.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
