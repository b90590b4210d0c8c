"""The live view of ``tunnel expose``, drawn by rich."""

from __future__ import annotations

import time
from typing import Final

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from tunnel.app.cli.expose_board import Board, Exposition, Line, State, failed, in_words

__all__ = ["Screen"]

_STYLES: Final = {
    State.CONNECTING: "yellow",
    State.CONNECTED: "green",
    State.RECONNECTING: "bold yellow",
    State.CLOSED: "red",
}
_KIB: Final = 1024
_REDIRECTION: Final = 300
_MISTAKE: Final = 400
_SHOW_ALL_COLUMNS: Final = 56
"""Below so many columns, paths have the room of times and sizes."""

_SHOW_TARGET_COLUMNS: Final = 100
"""From so many columns on, a request of one among several targets is shown with its target."""


class Screen:
    """Draws a board to fit the terminal, whatever its size is by then.

    What came latest is lowest. URLs are alone on their lines and never shortened, so that they can be selected.

    Args:
        board: What to draw.
        server: Where the targets are exposed, as given.
    """

    def __init__(self, board: Board, *, server: str) -> None:
        self._board: Final = board
        self._server: Final = server

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        now = time.time()
        width = options.max_width
        above = [self._title(width), Text(), *self._expositions(now), *self._notes(), Text(), self._totals(), Text()]
        used = sum(len(console.render_lines(each, options.update(height=None), pad=False)) for each in above)
        height = options.height if options.height is not None else console.height
        yield Group(*above, *self._requests(max(height - used, 1), width))

    def _title(self, width: int) -> RenderableType:
        title = Table.grid(expand=True)
        title.add_column(no_wrap=True, overflow="ellipsis")
        title.add_column(no_wrap=True, justify="right")
        title.add_row(
            Text.assemble(("tunnel expose", "bold"), (f"  {self._server}", "dim")),
            Text("Ctrl-C ends it" if width >= 60 else "^C", style="dim"),
        )
        return title

    def _expositions(self, now: float) -> list[RenderableType]:
        lines: list[RenderableType] = []
        for each in self._board.expositions:
            if each.url:
                lines.append(Text(each.url, style="bold cyan", overflow="fold"))
            lines.append(_described(each, now, indent="  " if each.url else ""))
        return lines

    def _notes(self) -> list[RenderableType]:
        note = self._board.note
        return [Text(), Text(_printable(note), style="yellow", no_wrap=True, overflow="ellipsis")] if note else []

    def _totals(self) -> RenderableType:
        board = self._board
        return Text.assemble(
            (f"{board.requests}", "bold"),
            f" requests, {board.open} open, ",
            (f"{board.failures} failed", "red" if board.failures else ""),
            f"   in {_size(board.received_bytes)}, out {_size(board.sent_bytes)}",
            no_wrap=True,
            overflow="ellipsis",
        )

    def _requests(self, rows: int, width: int) -> list[RenderableType]:
        board = self._board
        if not board.lines:
            return [Text("no requests yet", style="dim")]
        several = len(board.expositions) > 1 and width >= _SHOW_TARGET_COLUMNS
        wide = width >= _SHOW_ALL_COLUMNS
        # Blanks between columns are the columns' own: rich before 14.3 makes other widths of its padding.
        table = Table.grid(expand=True)
        if wide:
            table.add_column(no_wrap=True, style="dim", width=9)
        table.add_column(no_wrap=True, width=7, overflow="ellipsis")
        table.add_column(no_wrap=True, width=1)
        table.add_column(no_wrap=True, ratio=1, overflow="ellipsis")
        if several:
            table.add_column(no_wrap=True, max_width=25, overflow="ellipsis", style="dim")
        table.add_column(no_wrap=True, justify="right", max_width=21, overflow="ellipsis")
        table.add_column(no_wrap=True, justify="right", width=8)
        if wide:
            table.add_column(no_wrap=True, justify="right", width=8)
        for line in list(board.lines)[-rows:]:
            table.add_row(*_cells(line, several=several, wide=wide))
        return [table]


def _described(exposition: Exposition, now: float, *, indent: str) -> Text:
    state = exposition.state.value
    if exposition.state is not State.CONNECTED:
        state = f"{state} for {_lasting(now - exposition.since)}"
    text = Text.assemble(
        f"{indent}-> {_printable(exposition.target)}  ",
        (state, _STYLES[exposition.state]),
        no_wrap=True,
        overflow="ellipsis",
    )
    if exposition.reason and exposition.state is not State.CONNECTED:
        text.append(f": {_printable(exposition.reason)}", style="dim")
    return text


def _cells(line: Line, *, several: bool, wide: bool) -> list[RenderableType]:
    session = line.session
    kind = {"websocket": "WS", "grpc": "gRPC", "tcp": "TCP"}.get(session.protocol, session.method)
    cells: list[RenderableType] = [Text(_printable(kind)), Text(), Text(_printable(session.path))]
    if several:
        cells.append(Text(f" {_printable(line.target)}"))
    cells += [Text(f" {in_words(session)}", style=_style(line)), _duration(session.duration_s)]
    if not wide:
        return cells
    return [time.strftime("%H:%M:%S", time.localtime(line.time_s)), *cells, _size(session.sent_bytes)]


def _style(line: Line) -> str:
    session = line.session
    if failed(session):
        return "bold red"
    if session.outcome != "ok":
        return "dim"
    if session.protocol != "http":
        return "green"
    return "yellow" if session.status >= _MISTAKE else "cyan" if session.status >= _REDIRECTION else "green"


def _printable(text: str) -> str:
    """Visitors choose paths and methods, and shall not command the terminal."""
    return "".join(each if each.isprintable() else "?" for each in text)


def _duration(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 100 else _lasting(seconds)


def _lasting(seconds: float) -> str:
    whole = max(int(seconds), 0)
    if whole < 60:
        return f"{whole} s"
    minutes, whole = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}m{whole:02}s"
    return f"{minutes // 60}h{minutes % 60:02}m"


def _size(count: int) -> str:
    if count < _KIB:
        return f"{count} B"
    size = float(count)
    for unit in ("K", "M", "G", "T"):
        size /= _KIB
        if size < 999.5:
            return f"{size:.1f} {unit}" if size < 100 else f"{size:.0f} {unit}"
    return f"{size:.0f} T"
