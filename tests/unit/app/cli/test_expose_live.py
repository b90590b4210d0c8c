"""The live view of ``tunnel expose``: what becomes of it, and of what others write, with its terminal."""

from __future__ import annotations

import asyncio
import errno
import io
import sys

import anyio
import anyio.to_thread
import pytest

from tunnel.app.cli.expose_board import Board
from tunnel.app.cli.expose_live import LiveView
from tunnel.app.cli.expose_screen import Screen

ENTERS, LEAVES = "\x1b[?1049h", "\x1b[?1049l"
"""The alternate screen."""


class Terminal(io.StringIO):
    """One that is closed before it was written to so many times.

    Args:
        writes: How many; None: it never is.
    """

    def __init__(self, writes: int | None) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._left = writes
        self.written = asyncio.Event()
        self.gone = asyncio.Event()

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                self._loop.call_soon_threadsafe(self.gone.set)
                raise OSError(errno.EIO, "Input/output error")
        self._loop.call_soon_threadsafe(self.written.set)
        return super().write(text)


def view_on(terminal: Terminal) -> LiveView:
    board = Board(("3000",), 1000.0)
    view = LiveView(board, Screen(board, server="wss://edge.example.test"), terminal)
    view.ready(())
    return view


@pytest.mark.parametrize("writes", [0, 1, 2])
def test_terminal_that_is_gone_ends_neither_the_view_nor_who_writes(
    writes: int, capsys: pytest.CaptureFixture[str]
) -> None:
    async def scenario() -> bool:
        terminal = Terminal(writes)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(view_on(terminal).run)
            await terminal.gone.wait()
            # By then it has done whatever it does about that.
            await anyio.wait_all_tasks_blocked()
            print("by the application")
            await anyio.to_thread.run_sync(lambda: print("by a thread of it", file=sys.stderr))
            assert capsys.readouterr() == ("", "")
            tasks.cancel_scope.cancel()
        return True

    assert asyncio.run(scenario())
    assert capsys.readouterr() == ("", "by the application\nby a thread of it\n")


def test_terminal_is_given_back_and_then_told_what_others_wrote(capsys: pytest.CaptureFixture[str]) -> None:
    async def scenario() -> str:
        terminal = Terminal(None)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(view_on(terminal).run)
            await terminal.written.wait()
            print("by the application")
            tasks.cancel_scope.cancel()
        return terminal.getvalue()

    seen = asyncio.run(scenario())
    assert 0 <= seen.find(ENTERS) < seen.find(LEAVES)
    assert capsys.readouterr() == ("", "by the application\n")
