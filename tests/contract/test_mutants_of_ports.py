"""Adapters of every port but transports that are broken on purpose: each is found, by the rule that it names."""

from __future__ import annotations

import logging

import pytest
from contract.mutants import admin_listeners, ingresses, targets, transport_capabilities, transports

from tunnel.testing.mutants import Mutant, collections, table, try_out

# What a mutant leaves behind on purpose is collected whenever that happens.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

PATIENT = {
    (targets, "waits for more before it passes anything on"): "an echo that does not come",
    (targets, "has conversations wait for each other"): "sixteen echoes that do not come",
    (targets, "does not hear of being cancelled"): "its return, which takes longer than it may",
    (targets, "waits with closing"): "the failure of what is under way",
    (targets, "answers a protocol, and denies it"): "a refusal",
    (ingresses, "waits for more before it passes anything on"): "an echo that does not come",
    (ingresses, "does not tell of visitors that left"): "the target to be told",
    (ingresses, "waits for ever when it is drained"): "its return",
    (admin_listeners, "does not hear of being cancelled"): "its return",
}
"""What the rules of some wait for in vain, for seconds of real time: these are tried at full length only."""
QUICK = [
    mutant
    for module in collections("contract.mutants")
    if module not in (transports, transport_capabilities)
    for mutant in module.MUTANTS
    if (module, mutant.name) not in PATIENT
]
ALL = [
    mutant
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


@pytest.mark.parametrize("mutant", QUICK, ids=_id)
def test_mutant_is_found_by_the_rule_that_it_names(mutant: Mutant) -> None:
    assert [each.rule for each in try_out(mutant, named_only=True).broken] == [mutant.rule]


@pytest.mark.full
@pytest.mark.parametrize("mutant", ALL, ids=_id)
def test_rule_that_a_mutant_names_finds_it_first_and_no_other_does_than_it_says(mutant: Mutant) -> None:
    verdict = try_out(mutant, smallest=False)

    assert verdict.as_named, f"{mutant.rule} and {sorted(map(str, mutant.others))} were to find it:\n{table([verdict])}"
