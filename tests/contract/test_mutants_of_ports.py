"""Adapters of every port but transports that are broken on purpose: each is found, by the rule that it names."""

from __future__ import annotations

import logging

import pytest
from contract.mutants import ingresses, targets, transport_capabilities, transports

from tunnel.testing.mutants import Mutant, collections, table, try_out

# What a mutant leaves behind on purpose is collected whenever that happens.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

WITH_SOCKETS = (*targets.MUTANTS, *ingresses.MUTANTS)
QUICK = [
    mutant
    for module in collections("contract.mutants")
    if module not in (transports, transport_capabilities)
    for mutant in module.MUTANTS
    if mutant not in WITH_SOCKETS
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
    verdict = try_out(mutant)

    assert verdict.as_named, f"{mutant.rule} and {sorted(map(str, mutant.others))} were to find it:\n{table([verdict])}"
