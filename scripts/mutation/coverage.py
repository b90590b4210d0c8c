"""Which test runs which lines of the domain, and how long it takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["Coverage", "Line", "Run", "coverage"]

#: File and number.
Line = tuple[str, int]


@dataclass(frozen=True)
class Run:
    """One test, run.

    Args:
        took_s: Seconds of work, under the tracer.
    """

    test: str
    took_s: float
    lines: frozenset[Line]


@dataclass(frozen=True)
class Coverage:
    """The lines that each test runs.

    Args:
        took_s: Seconds of work of each test under the tracer, quickest first.
        tests: Of each line, the tests that run it.
        imported: Lines that run when modules of the domain and their tests are loaded.
    """

    took_s: dict[str, float]
    tests: dict[Line, frozenset[str]]
    imported: frozenset[Line]

    def running(self, lines: Iterable[Line]) -> list[str]:
        """Tests that run any of the lines, quickest first."""
        found: frozenset[str] = frozenset().union(*(self.tests.get(line, frozenset()) for line in lines))
        return sorted(found, key=lambda test: (self.took_s[test], test))


def coverage(runs: Sequence[Run], imported: frozenset[Line]) -> Coverage:
    """What the runs amount to."""
    tests: dict[Line, set[str]] = {}
    for run in runs:
        for line in run.lines:
            tests.setdefault(line, set()).add(run.test)
    return Coverage(
        {run.test: run.took_s for run in sorted(runs, key=lambda run: run.took_s)},
        {line: frozenset(names) for line, names in tests.items()},
        imported,
    )
