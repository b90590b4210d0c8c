"""What one turn gave, and what is made of several."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from bench.accounting import Meter

__all__ = ["Result", "Sample", "Spread", "median_by_role", "percentile", "ratios"]

_US_PER_S: Final = 1e6


@dataclass(frozen=True)
class Result:
    """What a load counted in one turn.

    Args:
        done: Requests, MiB, deliveries or lookups, whatever is the load's unit.
        elapsed_s: Seconds it took.
        p50_ms: Median latency, milliseconds; NaN when there is none.
        p99_ms: The same for the slowest hundredth.
        failed: Requests that failed.
    """

    done: float
    elapsed_s: float
    p50_ms: float
    p99_ms: float
    failed: int = 0


@dataclass(frozen=True)
class Sample:
    """One turn of one lane under one load.

    ``done`` units. By role: CPU in microseconds a unit, the peak of memory in MiB, and by how many KiB a unit it grew.
    """

    rate: float
    p50_ms: float
    p99_ms: float
    failed: int
    cpu_us: dict[str, float] = field(default_factory=dict)
    peak_mib: dict[str, float] = field(default_factory=dict)
    growth_kib: dict[str, float] = field(default_factory=dict)
    done: float = 0.0

    @classmethod
    def of(cls, result: Result, meter: Meter) -> Sample:
        """The same by second and by unit."""
        return cls(
            rate=result.done / result.elapsed_s if result.elapsed_s else 0.0,
            p50_ms=result.p50_ms,
            p99_ms=result.p99_ms,
            failed=result.failed,
            cpu_us={role: used * _US_PER_S / result.done for role, used in meter.cpu_s.items() if result.done},
            peak_mib=meter.peak_mib,
            growth_kib={role: grown / result.done for role, grown in meter.growth_kib.items() if result.done},
            done=result.done,
        )


@dataclass(frozen=True)
class Spread:
    """The middle of some values, and how far they lie apart."""

    middle: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread | None:
        """None of no values."""
        return cls(median(values), min(values), max(values)) if values else None


def ratios(own: Sequence[Sample], reference: Sequence[Sample]) -> list[float]:
    """Rate relative to another lane, round by round, so that what slows the whole machine falls out."""
    return [mine.rate / other.rate for mine, other in zip(own, reference, strict=False) if other.rate]


def median_by_role(values: Sequence[dict[str, float]]) -> dict[str, float]:
    """The median for each role over rounds."""
    return {role: median(value[role] for value in values if role in value) for role in (values[0] if values else ())}


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile; NaN of nothing."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]
