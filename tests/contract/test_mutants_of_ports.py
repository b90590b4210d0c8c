"""Adapters of every port but transports that are broken on purpose: each is found, by the rule that it names."""

from __future__ import annotations

import logging
from types import ModuleType

import pytest
from contract.mutants import ingresses, transport_capabilities, transports

from tunnel.testing.mutants import Mutant, collections, table, try_out

# What a mutant leaves behind on purpose is collected whenever that happens.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

PATIENCE_S = 1.0
PATIENT = {
    (ingresses, "waits for more before it passes anything on"): "an echo that does not come",
    (ingresses, "does not tell of visitors that left"): "the target to be told",
    (ingresses, "waits for ever when it is drained"): "its return",
}
"""What the rules of some wait for in vain, for seconds of real time: here for ``PATIENCE_S`` and no longer. Whoever can
be in virtual time is."""
ALL = [
    (module, mutant)
    for module in collections("contract.mutants")
    if module not in (transports, transport_capabilities)
    for mutant in module.MUTANTS
]


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """What fails on purpose is logged."""
    caplog.set_level(logging.CRITICAL, "tunnel")


def _id(mutant: Mutant) -> str:
    return f"{mutant.contract.port}-{mutant.name.replace(' ', '-')}"


@pytest.mark.parametrize(("module", "mutant"), ALL, ids=[_id(mutant) for _, mutant in ALL])
def test_mutant_is_found_by_the_rule_that_it_names(module: ModuleType, mutant: Mutant) -> None:
    deadline_s = PATIENCE_S if (module, mutant.name) in PATIENT else None

    assert [each.rule for each in try_out(mutant, named_only=True, deadline_s=deadline_s).broken] == [mutant.rule]


@pytest.mark.full
@pytest.mark.parametrize("mutant", [mutant for _, mutant in ALL], ids=_id)
def test_rule_that_a_mutant_names_finds_it_first_and_no_other_does_than_it_says(mutant: Mutant) -> None:
    verdict = try_out(mutant, smallest=False)

    assert verdict.as_named, f"{mutant.rule} and {sorted(map(str, mutant.others))} were to find it:\n{table([verdict])}"
