"""Commands on a terminal of their own, which can be closed on them."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
from types import TracebackType
from typing import Self

from support.frameworks import without_frameworks

SEEN_S = 60.0
END_S = 20.0

ON_THIS_TERMINAL = """
import fcntl, os, signal, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
if sys.argv[1] == "nohup":
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


class OnTerminal:
    """A Python command in the foreground of a terminal, while entered.

    Args:
        arguments: After the interpreter.
        nohup: Whether it is started with SIGHUP ignored, as by the command of that name.
        env: Beside the environment of the tests.
    """

    def __init__(self, *arguments: str, nohup: bool = False, env: dict[str, str] | None = None) -> None:
        self._terminal, slave = pty.openpty()
        self._seen = b""
        self._changed = threading.Condition()
        self._told_to_close, self._tell_to_close = os.pipe()
        self._popen = subprocess.Popen(
            [sys.executable, "-c", ON_THIS_TERMINAL, "nohup" if nohup else "", *arguments],
            env=without_frameworks(os.environ) | {"TERM": "xterm", "COLUMNS": "200", **(env or {})},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        # Somebody looks at a terminal all the time: one that is full makes whoever writes to it wait.
        self._looking = threading.Thread(target=self._look, daemon=True)
        self._looking.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._popen.kill()
        self._popen.wait()
        self.close()

    @property
    def seen(self) -> str:
        return self._seen.decode(errors="replace")

    def _look(self) -> None:
        while True:
            ready, _, _ = select.select([self._terminal, self._told_to_close], [], [])
            try:
                data = b"" if self._told_to_close in ready else os.read(self._terminal, 1 << 16)
            except OSError:
                data = b""  # the command has ended
            with self._changed:
                self._seen += data
                self._changed.notify_all()
            if not data:
                os.close(self._terminal)
                return

    def wait_for(self, pattern: str) -> re.Match[str]:
        """The first match in what it wrote to the terminal."""
        found = None

        def is_seen() -> bool:
            nonlocal found
            found = re.search(pattern, self.seen)
            return found is not None or not self._looking.is_alive()

        with self._changed:
            self._changed.wait_for(is_seen, SEEN_S)
        assert found is not None, f"it did not write {pattern!r}:\n{self.seen}"
        return found

    def close(self) -> None:
        """Close the terminal, as when its window is."""
        if self._tell_to_close >= 0:
            os.close(self._tell_to_close)
            self._tell_to_close = -1
            self._looking.join()
            os.close(self._told_to_close)

    def signal(self, number: signal.Signals) -> None:
        self._popen.send_signal(number)

    def running(self) -> bool:
        return self._popen.poll() is None

    def code(self) -> int:
        """The exit code, once it has ended."""
        return self._popen.wait(END_S)
