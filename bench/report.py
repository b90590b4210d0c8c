"""What was measured under one load, by lane: the figures that the table, the JSON and the plot show."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from bench.lanes import TITLES
from bench.loads import Load
from bench.rounds import Measured
from bench.samples import Sample, Spread, median_by_role, ratios

__all__ = ["LaneReport", "LoadReport", "report"]


@dataclass(frozen=True)
class LaneReport:
    """Medians over the rounds of one lane.

    Args:
        name: Of the lane.
        rate: Units a second.
        ratios: To each reference that was measured, by its name; taken within each round.
        p50_ms: Median latency.
        p99_ms: Latency of the slowest hundredth.
        cpu_us: Microseconds of CPU time a unit, by role.
        peak_mib: The highest peak of all rounds, by role.
        growth_kib: By how many KiB a unit memory grew, by role.
        done: Units in a round.
        failed: Requests that failed, in all rounds together.
        rounds: What the medians are of.
    """

    name: str
    rate: Spread
    ratios: dict[str, Spread]
    p50_ms: float
    p99_ms: float
    cpu_us: dict[str, float]
    peak_mib: dict[str, float]
    growth_kib: dict[str, float]
    done: float
    failed: int
    rounds: tuple[Sample, ...]

    @property
    def title(self) -> str:
        """The lane's, for the reader."""
        return TITLES[self.name]


@dataclass(frozen=True)
class LoadReport:
    """One load: its lanes in the order of the tables, and why some have no figures."""

    load: Load
    lanes: tuple[LaneReport, ...]
    failed: dict[str, str]


def report(measured: Measured) -> LoadReport:
    """Make medians and ratios of samples."""
    samples = measured.samples
    return LoadReport(
        measured.load,
        tuple(_lane_report(name, samples, measured.load.references) for name in TITLES if samples.get(name)),
        measured.failed,
    )


def _lane_report(name: str, samples: dict[str, list[Sample]], references: tuple[str, ...]) -> LaneReport:
    own = samples[name]
    rate = Spread.of([sample.rate for sample in own])
    assert rate is not None
    to_references = {other: Spread.of(ratios(own, samples.get(other, ()))) for other in references if other != name}
    peaks = [sample.peak_mib for sample in own]
    return LaneReport(
        name=name,
        rate=rate,
        ratios={other: spread for other, spread in to_references.items() if spread is not None},
        p50_ms=median(sample.p50_ms for sample in own),
        p99_ms=median(sample.p99_ms for sample in own),
        cpu_us=median_by_role([sample.cpu_us for sample in own]),
        peak_mib={role: max(peak.get(role, 0.0) for peak in peaks) for role in peaks[0]},
        growth_kib=median_by_role([sample.growth_kib for sample in own]),
        done=median(sample.done for sample in own),
        failed=sum(sample.failed for sample in own),
        rounds=tuple(own),
    )
