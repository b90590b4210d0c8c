"""What holds for all tests: how properties are searched, and which variants are long.

Environment:
    TUNNEL_FULL: set to 1 for the long variants, and for examples that are drawn anew each time.
    TUNNEL_MEASUREMENTS: a file for the figures that tests note; they are printed in any case.
"""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from support.run_summary import MEASURED, longest_files, measurements

HERE = Path(__file__).parent

LONG_FIRST = (
    "contract/test_transport_mutants.py",
    "contract/test_mutants_of_ports.py",
    "docs/",
    "examples/",
    "e2e/",
    "typing/",
    "simulation/",
    "performance/",
    "contract/",
)
"""Where a file takes long, the longest first; short are those of all other places."""

FULL = os.environ.get("TUNNEL_FULL") == "1"
# Not for what tests run.
FIGURES = os.environ.pop("TUNNEL_MEASUREMENTS", None)

# How long an example takes is a figure of the machine. The same examples every time keep a failure with the change that
# causes it; looking for others is what the long variants are for.
settings.register_profile(
    "tunnel", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=not FULL, print_blob=True
)
settings.load_profile("tunnel")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "full: takes long; runs with TUNNEL_FULL=1")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell ignores Ctrl-C for what it runs in the background, and so would all that the tests start.
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True, optionalhook=True)
def pytest_xdist_auto_num_workers() -> Generator[None, int, int]:
    # Tests that wait for other processes leave room for one more of these.
    return (yield) + 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object | None:
    if config.getoption("dist") != "loadfile":
        return None
    # Where tests run in one process, the plugin need not be there.
    from support.shares import Shares

    return Shares(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # With several processes, nobody is to begin with a long file when the others have nothing left.
    items.sort(key=lambda item: _place(item.path.relative_to(HERE).as_posix()))
    if FULL:
        return
    for item in items:
        if item.get_closest_marker("full"):
            item.add_marker(pytest.mark.skip(reason="a long variant: set TUNNEL_FULL=1"))


def _place(path: str) -> int:
    return next((place for place, long in enumerate(LONG_FIRST) if path.startswith(long)), len(LONG_FIRST))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    # All tests live until the last has ended. The collector need not look at them again each time, nor meanwhile.
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Note a figure for the end of the run."""
    return lambda figure: request.node.user_properties.append((MEASURED, figure))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [
        report for each in terminalreporter.stats.values() for report in each if isinstance(report, pytest.TestReport)
    ]
    figures = measurements(reports)
    if FIGURES is not None:
        Path(FIGURES).write_text("".join(f"{line}\n" for line in figures))
    for title, lines in (("longest files", longest_files(reports) if FULL else []), ("measurements", figures)):
        if lines:
            terminalreporter.section(title)
            for line in lines:
                terminalreporter.line(line)
