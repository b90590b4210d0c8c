"""The processes that the demo consists of: started, listened to, and ended whatever happens."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import anyio

from tunnel.domain.errors import TunnelError

__all__ = ["READY_S", "DemoProcess", "DidNotStart", "running"]

READY_S: Final = 20.0
"""For a part to get ready; on a busy machine importing alone takes seconds."""

_GRACE_S: Final = 3.0
"""For a process to end after it was asked to; then it is killed."""

_KEPT_LINES: Final = 500
"""More than a process writes until it is ready."""

_SHOWN_LINES: Final = 10
_MAX_LINE_BYTES: Final = 1024 * 1024


class DidNotStart(TunnelError):
    """A part of the demo did not get ready.

    Args:
        name: Of the part.
        reason: What it did instead.
        last_lines: The last it said.
    """

    def __init__(self, name: str, reason: str, last_lines: tuple[str, ...]) -> None:
        super().__init__(name, reason, last_lines)
        self.name = name
        self.reason = reason
        self.last_lines = last_lines

    def __str__(self) -> str:
        return f"the {self.name} {self.reason}"


class DemoProcess:
    """A running child. What it writes is read all the time, so that it never waits for us.

    Args:
        name: For messages.
        process: Its standard output and error are one pipe.
    """

    def __init__(self, name: str, process: Process) -> None:
        self.name: Final = name
        self._process: Final = process
        self._lines: Final[deque[str]] = deque(maxlen=_KEPT_LINES)
        self._changed: Final = asyncio.Condition()
        self._silent = False

    @property
    def pid(self) -> int:
        """Of the process, which may have ended."""
        return self._process.pid

    @property
    def last_lines(self) -> tuple[str, ...]:
        """The end of what it has written."""
        return tuple(self._lines)[-_SHOWN_LINES:]

    @property
    def end(self) -> str | None:
        """How it ended, as a verb phrase; None while it runs."""
        code = self._process.returncode
        if code is None:
            return None
        return f"ended with exit code {code}" if code >= 0 else f"was ended by {_signal_name(-code)}"

    async def said(self, pattern: str) -> str:
        """Return what the pattern's first group matched in the first line with a match; waits for such a line.

        Raises:
            DidNotStart: The process ended or was too slow.
        """
        try:
            async with asyncio.timeout(READY_S), self._changed:
                await self._changed.wait_for(lambda: self._silent or self._find(pattern) is not None)
        except TimeoutError as exc:
            raise DidNotStart(self.name, f"was not ready within {READY_S:.0f} s", self.last_lines) from exc
        found = self._find(pattern)
        if found is None:
            raise DidNotStart(self.name, await self._end_of_mute(), self.last_lines)
        return found

    async def ended(self) -> None:
        """Return when it has."""
        await self._process.wait()

    async def _end_of_mute(self) -> str:
        """How a process that has closed its output ended, which is about to be known."""
        try:
            async with asyncio.timeout(_GRACE_S):
                await self.ended()
        except TimeoutError:
            pass
        return self.end or "closed its output before it was ready"

    def _find(self, pattern: str) -> str | None:
        return next((found[1] for line in self._lines if (found := re.search(pattern, line))), None)

    async def follow(self) -> None:
        """Read what it writes until that ends."""
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            await self._note(line.decode(errors="replace").rstrip())
        async with self._changed:
            self._silent = True
            self._changed.notify_all()

    async def _note(self, line: str) -> None:
        async with self._changed:
            self._lines.append(line)
            self._changed.notify_all()

    async def stop(self) -> None:
        """Ask it to end, wait for that, and insist after a while."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        if self._process.returncode is None:
            self._process.terminate()
        try:
            async with asyncio.timeout(_GRACE_S):
                await self.ended()
        except TimeoutError:
            self._process.kill()
            await self.ended()


@asynccontextmanager
async def running(name: str, *arguments: str) -> AsyncIterator[DemoProcess]:
    """Run the Python interpreter with ``arguments`` for as long as the context is entered.

    The child is alone in its process group: an interrupt from the keyboard reaches only the demo, which ends its
    children in order. At the end it has really ended, also when its scope (``anyio.CancelScope``) is cancelled by then.

    Raises:
        OSError: It cannot be started.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        stdin=PIPE,
        stdout=PIPE,
        stderr=STDOUT,
        limit=_MAX_LINE_BYTES,
        start_new_session=True,
    )
    child = DemoProcess(name, process)
    follower = asyncio.ensure_future(child.follow())
    try:
        yield child
    finally:
        with anyio.CancelScope(shield=True):
            await child.stop()
            follower.cancel()
            await asyncio.wait({follower})


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
