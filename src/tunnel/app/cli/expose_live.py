"""The terminal of ``tunnel expose`` while requests come: redrawn when something changes, and given back at the end."""

from __future__ import annotations

import asyncio
import io
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from typing import Final, TextIO

import anyio
from rich.console import Console
from rich.live import Live

from tunnel.app.cli.expose_board import Board, Exposition, Line
from tunnel.app.cli.expose_report import Report
from tunnel.app.cli.expose_screen import Screen
from tunnel.app.cli.expose_service import View
from tunnel.app.cli.output import write_error
from tunnel.ports.telemetry import ClaimGranted, ConnectFailed, Event, LinkLost, TunnelReady

__all__ = ["LiveView"]

_PAUSE_S: Final = 0.2
"""At least between two drawings: each takes milliseconds, which requests would have to wait for."""

_TICK_S: Final = 1.0
"""At most between two drawings: durations are shown in seconds."""

_KEPT_LINES: Final = 500
"""Of what is written by others meanwhile."""


class LiveView(Report, View):
    """Takes the terminal over as soon as the targets are reachable; until then it is left alone.

    It draws on the alternate screen, so that it can adapt to any size and leaves no trace. URLs are also written to the
    ordinary screen, which is seen again at the end. What else is written meanwhile, by applications in this process or
    the log, is kept, shown by its last line, and written at the end.

    A terminal that is gone is not drawn on any more. Whether that is to end the command is told by SIGHUP, which comes
    sooner or later than a write fails, or not at all where whoever started it wants it to go on.

    Args:
        board: What to draw.
        screen: How.
        terminal: Where.
    """

    wants_requests = True

    def __init__(self, board: Board, screen: Screen, terminal: TextIO) -> None:
        self._board: Final = board
        self._screen: Final = screen
        self._terminal: Final = terminal
        self._begun: Final = anyio.Event()
        self._changed = anyio.Event()

    # -- Report

    def hides(self, event: Event) -> bool:
        # Until the terminal is taken over, only the log tells why that takes long.
        return isinstance(event, TunnelReady | ClaimGranted) or (
            self._begun.is_set() and isinstance(event, LinkLost | ConnectFailed)
        )

    def on_unread(self, tell: Callable[[OSError], None]) -> None:
        """It is a terminal, and SIGHUP tells."""

    def ready(self, expositions: tuple[Exposition, ...]) -> None:
        for each in expositions:
            self._terminal.write(f"{each.url}\n")
        self._terminal.flush()
        self._begun.set()

    def moved(self, exposition: Exposition) -> None:
        """The board has it."""

    def request(self, line: Line) -> None:
        """The board has it."""

    def closed(self, reason: str) -> None:
        if self._begun.is_set():
            board = self._board
            write_error(f"{board.requests} requests, {board.failures} failed")

    # -- View

    def changed(self) -> None:
        self._changed.set()

    async def run(self) -> None:
        await self._begun.wait()
        with self._others_kept():
            with suppress(OSError):
                await self._draw()
            # What others write is kept from a terminal that is gone as well: it would be their failure.
            await anyio.sleep_forever()

    async def _draw(self) -> None:
        console = Console(file=self._terminal)
        live = Live(
            self._screen,
            console=console,
            screen=True,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        with live, _resizes(self.changed):
            while True:
                # In a thread, since a terminal may be stopped, and requests are not to wait for it.
                await anyio.to_thread.run_sync(live.refresh, abandon_on_cancel=True)
                await anyio.sleep(_PAUSE_S)
                with anyio.move_on_after(_TICK_S - _PAUSE_S):
                    await self._changed.wait()
                self._changed = anyio.Event()

    def _noted(self, line: str) -> None:
        self._board.note = line
        self.changed()

    @contextmanager
    def _others_kept(self) -> Iterator[None]:
        """Keep from the terminal what anybody else writes, until it is ours no more."""
        kept = _Kept(asyncio.get_running_loop(), self._noted)
        try:
            with redirect_stdout(kept), redirect_stderr(kept):
                yield
        finally:
            with suppress(OSError):
                for line in kept.lines:
                    sys.stderr.write(f"{line}\n")


class _Kept(io.TextIOBase):
    """A text stream, written to from any thread, of which the last lines are kept."""

    def __init__(self, loop: asyncio.AbstractEventLoop, on_line: Callable[[str], None]) -> None:
        self.lines: Final[deque[str]] = deque(maxlen=_KEPT_LINES)
        self._loop: Final = loop
        self._on_line: Final = on_line
        self._rest = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._rest = f"{self._rest}{text}".split("\n")
        self.lines.extend(lines)
        for line in lines[-1:]:
            self._loop.call_soon_threadsafe(self._on_line, line)
        return len(text)


@contextmanager
def _resizes(changed: Callable[[], None]) -> Iterator[None]:
    """Call ``changed`` whenever the terminal gets another size, where there is a signal that tells."""
    number: int | None = getattr(signal, "SIGWINCH", None)
    if number is None:
        yield
        return
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(number, changed)
    try:
        yield
    finally:
        loop.remove_signal_handler(number)
