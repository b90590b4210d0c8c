"""Programs that start in a hundredth of a second, as forks of a process that has imported what they import."""

import atexit
import contextlib
import functools
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from support.frameworks import without_frameworks

__all__ = ["Fork", "can_fork"]

START_S = 60.0
"""The first start has to import everything, on a machine that may be busy."""

SERVER = Path(__file__).with_name("e2e_fork_server.py")
# Read when an interpreter starts, and decides what there is to import: a server of forks has one of these.
PATH = os.environ.get("PYTHONPATH")
PATHS = (PATH, without_frameworks(os.environ)["PYTHONPATH"])
FULL = os.environ.get("TUNNEL_FULL") == "1"


class ForkServer:
    """The process that forks. It ends with the one that started it.

    Args:
        path: Where it and all that it forks look for modules; None: where interpreters do by themselves.
    """

    def __init__(self, path: str | None) -> None:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        if path is not None:
            environment["PYTHONPATH"] = path
        self.control, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its:
            self._popen = subprocess.Popen(
                [sys.executable, str(SERVER), str(its.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[its.fileno()],
                # gRPC's core may read its variable when it is imported; the command sets it to this.
                env={**environment, "PYTHONUNBUFFERED": "1", "GRPC_VERBOSITY": "ERROR"},
            )
        atexit.register(self.close)

    def close(self) -> None:
        self.control.close()
        self._popen.wait()


@functools.cache
def fork_server(path: str | None) -> ForkServer:
    """The one of this process for programs that look for modules there."""
    return ForkServer(path)


def can_fork(environment: Mapping[str, str]) -> bool:
    """Whether a fork is like a new interpreter. The long variants start programs as users do, all of them."""
    return sys.platform == "linux" and not FULL and environment.get("PYTHONPATH") in PATHS


class Fork:
    """What ``subprocess.Popen`` is for a command that begins with ``sys.executable``, as far as the tests use it.

    Its stdout and its stderr are one.

    Args:
        arguments: After the interpreter: ``-m`` and a module, ``-c`` and code, or a file, and what follows.
        environment: All variables that the program has.
    """

    def __init__(self, arguments: list[str], environment: Mapping[str, str]) -> None:
        stdin, self_stdin = os.pipe()
        self_output, output = os.pipe()
        self_status, status = os.pipe()
        asked = {"arguments": arguments, "directory": os.getcwd(), "environment": dict(environment)}
        socket.send_fds(
            fork_server(environment.get("PYTHONPATH")).control, [json.dumps(asked).encode()], [stdin, output, status]
        )
        for each in (stdin, output, status):
            os.close(each)
        self.stdin = os.fdopen(self_stdin, "w")
        self.stdout = os.fdopen(self_output, errors="replace")
        self._status = os.fdopen(self_status)
        self.returncode: int | None = None
        self.pid = self._told(START_S)

    def poll(self) -> int | None:
        """The exit code, that of a signal negative; None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout_s: float | None = None) -> int:
        """Wait until it has ended.

        Raises:
            subprocess.TimeoutExpired: It runs still.
        """
        if self.returncode is None:
            self.returncode = self._told(timeout_s)
            self._status.close()
        return self.returncode

    def _told(self, timeout_s: float | None) -> int:
        """The next number that the keeper writes."""
        heard = select.poll()
        heard.register(self._status)
        if not heard.poll(None if timeout_s is None else timeout_s * 1000):
            raise subprocess.TimeoutExpired("a fork", timeout_s or 0)
        line = self._status.readline()
        assert line, "the server of forks has ended; its reason is in what this process was given as stderr"
        return int(line)

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)
