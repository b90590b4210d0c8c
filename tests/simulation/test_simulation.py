"""A server, its clients and visitors through a thousand bad days, in virtual time.

TUNNEL_SOAK=1 runs twenty thousand. One that fails names its seed; ``make simulate SEED=...`` runs it again, alike.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from sim_plan import FAULTS, Kind, Plan
from simulation import Report, simulate

_SCHEDULES = 20_000 if os.environ.get("TUNNEL_SOAK") == "1" else 1_000
_BATCH = 100
_PORTION = 5

_LEAST_SESSIONS = 5
_LEAST_FAULTS = 3


class Verdict:
    """One schedule's report, or how it failed; simple enough to be sent between processes."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.failure = ""
        self.report = Report(seed)
        try:
            self.report = simulate(seed)
        except BaseException as exc:  # noqa: BLE001
            self.failure = _described(exc)


def _described(exc: BaseException) -> str:
    while isinstance(exc, BaseExceptionGroup):
        exc = exc.exceptions[0]
    return f"{type(exc).__name__}: {exc}"


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=context) as pool:
        yield pool


@pytest.fixture(scope="module")
def reports() -> list[Report]:
    """All reports of the module."""
    return []


def _faults(reports: list[Report]) -> Counter[str]:
    return sum((report.faults for report in reports), Counter())


def _outcomes(reports: list[Report]) -> Counter[str]:
    return sum((report.outcomes for report in reports), Counter())


@pytest.mark.parametrize("first", range(0, _SCHEDULES, _BATCH))
def test_whatever_happens_every_request_has_one_true_outcome(
    pool: ProcessPoolExecutor, reports: list[Report], first: int
) -> None:
    verdicts = list(pool.map(Verdict, range(first, first + _BATCH), chunksize=_PORTION))
    failed = [verdict for verdict in verdicts if verdict.failure]
    assert not failed, "\n".join(
        f"{each.failure}\n  run it again with: make simulate SEED={each.seed}" for each in failed
    )
    for verdict in verdicts:
        assert verdict.report.sessions >= _LEAST_SESSIONS
        assert verdict.report.faults.total() >= _LEAST_FAULTS
        reports.append(verdict.report)


def test_schedules_have_every_fault_and_survive_most(reports: list[Report], measured: Callable[[str], None]) -> None:
    """Otherwise the test above would show little. Needs all of its runs."""
    if len(reports) < _SCHEDULES:
        pytest.skip("only some of the schedules were run")
    faults, outcomes = _faults(reports), _outcomes(reports)
    resumed = sum(report.events["TunnelResumed"] for report in reports)
    measured(f"{sum(report.sessions for report in reports)} requests, {resumed} tunnels resumed")
    for name, counter in (("faults", faults), ("outcomes", outcomes)):
        measured(f"{name}: " + ", ".join(f"{what} {count}" for what, count in counter.most_common()))
    assert min(faults[fault.value] for fault in FAULTS) >= _SCHEDULES // 50
    assert outcomes["complete"] > outcomes.total() / 2
    assert resumed > _SCHEDULES / 2


@pytest.mark.parametrize("seed", [3, 17, 2026])
def test_seed_reproduces_exactly(seed: int) -> None:
    """In another process too, whose hashes of strings are others."""
    here = simulate(seed)
    script = Path(__file__).with_name("simulation.py")
    environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    there = subprocess.run(
        [sys.executable, str(script), str(seed)], env=environment, capture_output=True, text=True, check=True
    )
    assert here.trace
    assert here.trace == simulate(seed).trace
    assert f"trace='{here.trace}'" in there.stdout


def test_every_kind_of_request_is_made() -> None:
    assert {request.kind for seed in range(20) for request in Plan.of(seed).requests} == set(Kind)
