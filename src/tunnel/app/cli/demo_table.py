"""The demo's table, written a row at a time as visits end."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from tunnel.app.cli.demo_visits import Outcome

__all__ = ["Table"]

_RED: Final = "31"
_GREEN: Final = "32"


class Table:
    """Columns of fixed width, but for the last, which says ``ok`` or why not.

    Args:
        names: Of all visits, for the width of the first column.
        write: Takes a line.
        colour: Whether the results are coloured.
    """

    def __init__(self, names: Iterable[str], write: Callable[[str], None], *, colour: bool) -> None:
        self._width: Final = max(map(len, names))
        self._write: Final = write
        self._colour: Final = colour

    def open(self, title: str) -> None:
        """Start a table."""
        self._write("")
        self._write(title)
        self._write(f"  {'what':{self._width}}  {'ms':>7}  {'MB/s':>7}  result")

    def add(self, outcome: Outcome) -> None:
        """Write a row."""
        took = f"{outcome.took_s * 1000:.0f}"
        self._write(f"  {outcome.name:{self._width}}  {took:>7}  {_rate(outcome):>7}  {self._result(outcome)}")

    def _result(self, outcome: Outcome) -> str:
        if outcome.failure is None:
            return self._coloured("ok", _GREEN)
        return f"{self._coloured('FAILED', _RED)}: {outcome.failure}"

    def _coloured(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colour else text


def _rate(outcome: Outcome) -> str:
    if not outcome.carried_bytes or outcome.failure is not None:
        return ""
    return f"{outcome.carried_bytes / max(outcome.took_s, 1e-6) / 1e6:.0f}"
