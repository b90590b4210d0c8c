"""The mutants of all ports: every rule has one of its own, each is a small change, and their twins are sound."""

from __future__ import annotations

import logging
from types import ModuleType
from typing import Any

import pytest
from contract.changed_lines import changed_lines
from contract.mutants import ingresses, targets
from contract.test_contract_pages import CONTRACTS

from tunnel.testing.contract import Contract
from tunnel.testing.mutants import Mutant, collections

MOST_LINES = 10

COLLECTIONS = collections("contract.mutants")
WITH_SOCKETS = (targets, ingresses)


def _id(value: object) -> str:
    return value.name.replace(" ", "-") if isinstance(value, Mutant) else str(value)


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=lambda contract: contract.port)
def test_every_rule_has_a_mutant_that_no_other_rule_finds(contract: Contract[Any]) -> None:
    alone = [mutant.rule for module in COLLECTIONS for mutant in module.MUTANTS if not mutant.others]

    assert [rule.id for rule in contract.rules if rule not in alone] == []


@pytest.mark.parametrize(
    ("module", "mutant"),
    [(module, mutant) for module in COLLECTIONS for mutant in module.MUTANTS],
    ids=lambda value: value.__name__.rpartition(".")[2] if isinstance(value, ModuleType) else _id(value),
)
def test_mutant_is_a_small_change_of_its_twin(module: ModuleType, mutant: Mutant) -> None:
    assert changed_lines(module, mutant.name) <= MOST_LINES


@pytest.mark.parametrize(
    "module",
    [pytest.param(module, marks=pytest.mark.full if module in WITH_SOCKETS else ()) for module in COLLECTIONS],
    ids=lambda module: module.__name__.rpartition(".")[2],
)
def test_what_mutants_are_made_of_breaks_no_rule(module: ModuleType, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "tunnel")
    mutant: Mutant = module.MUTANTS[0]

    for twin in module.TWINS:
        assert mutant.contract.verdict(twin, mutant.event_loop) == ()
