"""What a run of the tests says at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pytest

__all__ = ["MEASURED", "longest_files", "measurements"]

MEASURED = "measured"
"""Name of the property with a figure for the end of the run."""

_FILES = 15


def measurements(reports: Iterable[pytest.TestReport]) -> list[str]:
    """The figures that tests noted, each with its test."""
    return [
        f"{report.nodeid.rpartition('::')[2]}: {figure}"
        for report in reports
        if report.when == "teardown"
        for name, figure in report.user_properties
        if name == MEASURED
    ]


def longest_files(reports: Iterable[pytest.TestReport]) -> list[str]:
    """Seconds of the files that took longest, with how many tests each has."""
    took_s: Counter[str] = Counter()
    tests: Counter[str] = Counter()
    for report in reports:
        file = report.nodeid.partition("::")[0]
        took_s[file] += report.duration  # type: ignore[assignment]
        tests[file] += report.when == "setup"
    return [f"{seconds:6.0f} s {tests[file]:5}  {file}" for file, seconds in took_s.most_common(_FILES)]
