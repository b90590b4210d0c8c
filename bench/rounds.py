"""The order of the turns.

Under each load the lanes take turns, round by round, and each round begins with another lane, so that whatever else the
machine does falls on all of them alike and none always runs right after the same one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Final

from bench.accounting import Meter
from bench.lanes import Lane
from bench.loads import Load
from bench.processes import Failed
from bench.samples import Sample

__all__ = ["Measured", "measure_all"]

_WARM_UP_S: Final = 1.0

Renew = Callable[[str], AbstractContextManager[Lane]]
"""Starts the lane of a name once more, beside the one that runs, and ends it. Raises ``Failed``."""

Tell = Callable[[str], None]
"""Shows one line of progress."""


@dataclass
class Measured:
    """Samples of a load by lane, one a round; and why lanes have none."""

    load: Load
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def measure_all(
    loads: Sequence[Load], lanes: Mapping[str, Lane], *, renew: Renew, rounds: int, seconds: float, tell: Tell
) -> list[Measured]:
    """Measure every load over every lane it fits. A lane that fails under a load is left out of the rest of it.

    Args:
        loads: In the order to measure them in.
        lanes: By name; all run.
        renew: For loads that weigh.
        rounds: Turns of each lane under each load.
        seconds: Length of a turn.
        tell: Told after each turn.
    """
    warm: set[tuple[str, str]] = set()
    measured = []
    for load in loads:
        result = Measured(load)
        names = [name for name in load.lanes if name in lanes]
        for name in names:
            if not load.weighs and (name, load.entrance) not in warm:
                _turn(load, name, nullcontext(lanes[name]), result, seconds=min(seconds, _WARM_UP_S))
                warm.add((name, load.entrance))
        result.samples.clear()
        for number in range(min(rounds, load.most_rounds)):
            turn = number % len(names) if names else 0
            for name in names[turn:] + names[:turn]:
                if name not in result.failed:
                    lane = renew(name) if load.weighs else nullcontext(lanes[name])
                    _turn(load, name, lane, result, seconds=seconds)
                if name not in result.failed:
                    rate = result.samples[name][-1].rate
                    tell(f"{load.name} round {number + 1} {name}: {rate:,.0f}/s")
        measured.append(result)
    return measured


def _turn(load: Load, name: str, running: AbstractContextManager[Lane], result: Measured, *, seconds: float) -> None:
    try:
        with running as lane:
            meter = Meter(lane.measured(load.entrance))
            counted = load.measure(lane, meter, seconds=seconds)
    except Failed as exc:
        result.failed[name] = str(exc)
        result.samples.pop(name, None)
        return
    result.samples.setdefault(name, []).append(Sample.of(counted, meter))
