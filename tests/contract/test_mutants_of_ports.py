"""Adapters of every port but transports that are broken on purpose: each is found, by the rule that it names."""

from __future__ import annotations

import pytest
from contract.mutants import authenticators, config_sources, ingresses, strategies, targets

from tunnel.testing.mutants import Mutant, table, try_out

QUICK = (*strategies.MUTANTS, *authenticators.MUTANTS, *config_sources.MUTANTS)
WITH_SOCKETS = (*targets.MUTANTS, *ingresses.MUTANTS)
MUTANTS = (*QUICK, *WITH_SOCKETS)


@pytest.mark.parametrize(
    "mutant",
    [*QUICK, *(pytest.param(mutant, marks=pytest.mark.full) for mutant in WITH_SOCKETS)],
    ids=lambda mutant: f"{mutant.contract.port}-{mutant.name}",
)
def test_mutant_is_found_by_the_rule_it_names(mutant: Mutant) -> None:
    verdict = try_out(mutant)
    assert verdict.as_named, f"{mutant.rule} and {sorted(map(str, mutant.others))} were to find it:\n{table([verdict])}"


def test_every_rule_of_these_ports_has_a_mutant_that_it_alone_finds() -> None:
    alone = {mutant.rule for mutant in MUTANTS if not mutant.others}
    contracts = {id(mutant.contract): mutant.contract for mutant in MUTANTS}.values()
    missing = {rule.id for contract in contracts for rule in contract.rules} - {rule.id for rule in alone}
    assert missing <= {"A-PRINCIPAL"}
