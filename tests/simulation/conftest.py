"""Figures of the simulation, shown at the end of the run."""

from __future__ import annotations

import pytest

_lines: list[str] = []


@pytest.fixture(scope="session")
def figures() -> list[str]:
    """Lines for the end of the run."""
    return _lines


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _lines:
        terminalreporter.section("simulation")
        for line in _lines:
            terminalreporter.line(line)
