"""The order of the turns.

Under each load the lanes take turns, round by round, and each round begins with another lane, so that whatever else the
machine does falls on all of them alike and none always runs right after the same one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from bench.accounting import Meter
from bench.lanes import Lane
from bench.loads import Load
from bench.processes import Failed
from bench.samples import Sample

__all__ = ["Measured", "measure_all"]

_WARM_UP_S: Final = 1.0

Tell = Callable[[str], None]
"""Shows one line of progress."""


@dataclass
class Measured:
    """Samples of a load by lane, one a round; and why lanes have none."""

    load: Load
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def measure_all(
    loads: Sequence[Load], lanes: Mapping[str, Lane], *, rounds: int, seconds: float, tell: Tell
) -> list[Measured]:
    """Measure every load over every lane it fits. A lane that fails under a load is left out of the rest of it.

    Args:
        loads: In the order to measure them in.
        lanes: By name; all run.
        rounds: Turns of each lane under each load.
        seconds: Length of a turn.
        tell: Told after each turn.
    """
    warm: set[str] = set()
    measured = []
    for load in loads:
        result = Measured(load)
        names = [name for name in load.lanes if name in lanes]
        for name in names:
            if name not in warm:
                _turn(load, lanes[name], result, seconds=min(seconds, _WARM_UP_S))
                warm.add(name)
        result.samples.clear()
        for number in range(rounds):
            turn = number % len(names) if names else 0
            for name in names[turn:] + names[:turn]:
                if name not in result.failed:
                    _turn(load, lanes[name], result, seconds=seconds)
                if name not in result.failed:
                    rate = result.samples[name][-1].rate
                    tell(f"{load.name} round {number + 1} {name}: {rate:,.0f}/s")
        measured.append(result)
    return measured


def _turn(load: Load, lane: Lane, result: Measured, *, seconds: float) -> None:
    meter = Meter(lane.measured(load.entrance))
    try:
        counted = load.measure(lane, meter, seconds=seconds)
    except Failed as exc:
        result.failed[lane.name] = str(exc)
        result.samples.pop(lane.name, None)
        return
    sample = Sample.of(counted, cpu_s=meter.cpu_s, peak_mib=meter.peak_mib)
    result.samples.setdefault(lane.name, []).append(sample)
