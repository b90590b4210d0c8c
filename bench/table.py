"""The figures as text, one table a load."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from bench.lanes import TITLES
from bench.loads import Load
from bench.report import LaneReport, LoadReport
from bench.samples import Spread

__all__ = ["table"]

_ROUND_RATIO: Final = 0.2
"""Ratios from here on are told with two digits after the point, smaller ones with three."""


def table(report: LoadReport) -> str:
    """Heading, columns, a row for each lane, and a line for each that failed."""
    load = report.load
    heads = (
        "lane",
        *((load.units,) if load.weighs else ()),
        f"{load.units}/s",
        *(f"of {TITLES[name]}" for name in load.references),
        "p50 ms",
        "p99 ms",
        f"CPU us/{load.unit}",
        f"KiB/{load.unit}" if load.weighs else "peak MiB",
        "failed",
    )
    rows = [heads, *(_row(lane, load) for lane in report.lanes)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    failures = [f"{TITLES[name]}: failed, {reason}" for name, reason in report.failed.items()]
    return "\n".join([f"{load.name}: {load.title}", *lines, *failures])


def _row(lane: LaneReport, load: Load) -> tuple[str, ...]:
    return (
        lane.title,
        *((f"{lane.done:,.0f}",) if load.weighs else ()),
        _number(lane.rate.middle),
        *(_ratio(lane.ratios.get(name)) for name in load.references),
        _number(lane.p50_ms),
        _number(lane.p99_ms),
        _by_role(lane.cpu_us),
        _by_role(_with_sum(lane.growth_kib) if load.weighs else lane.peak_mib),
        str(lane.failed),
    )


def _ratio(spread: Spread | None) -> str:
    if spread is None:
        return "-"
    digits = 2 if spread.middle >= _ROUND_RATIO else 3
    return f"{spread.middle:.{digits}f} ({spread.low:.{digits}f}-{spread.high:.{digits}f})"


def _with_sum(values: Mapping[str, float]) -> dict[str, float]:
    """Also for server and client together, where they are two."""
    own = [value for role, value in values.items() if role != "upstream"]
    return {"together": sum(own), **values} if len(own) > 1 else dict(values)


def _by_role(values: Mapping[str, float]) -> str:
    return ", ".join(f"{role} {_number(value)}" for role, value in values.items()) or "-"


def _number(value: float) -> str:
    """Three digits or more that mean something, whatever the size."""
    if math.isnan(value):
        return "-"
    if value >= 100:
        return f"{value:,.0f}"
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 0.1 or value == 0 else f"{value:.4f}"
