"""The mutants of all ports: every rule has one of its own, each is a small change, and their twins are sound."""

from __future__ import annotations

import dataclasses
import logging
from types import ModuleType
from typing import Any

import pytest
from contract.changed_lines import changed_lines
from contract.mutants import clocks, ingresses, signals, targets, transport_capabilities, transports
from contract.test_contract_pages import CONTRACTS
from contract.test_mutants_of_ports import PATIENT

from tunnel.testing.contract import Contract
from tunnel.testing.event_loops import VIRTUAL
from tunnel.testing.mutants import Mutant, collections, found_alone, table_of_rules, try_out
from tunnel.testing.signal import SIGNAL
from tunnel.testing.transport import TransportCapabilities

MOST_LINES = 10

COLLECTIONS = collections("contract.mutants")
WITH_SOCKETS = (targets, ingresses)
IN_VIRTUAL_TIME = [module for module in COLLECTIONS if hasattr(module, "VIRTUAL_TWINS")]


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


@pytest.mark.parametrize("module", IN_VIRTUAL_TIME, ids=lambda module: module.__name__.rpartition(".")[2])
def test_what_mutants_in_virtual_time_are_made_of_breaks_no_rule(
    module: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "tunnel")

    for twin in module.VIRTUAL_TWINS:
        assert module.MUTANTS[0].contract.verdict(twin, VIRTUAL) == ()


def test_mutants_that_are_waited_for_only_a_while_exist() -> None:
    assert {(module, mutant.name) for module in COLLECTIONS for mutant in module.MUTANTS} >= PATIENT.keys()


def test_each_thing_that_a_transport_says_it_can_is_claimed_and_denied() -> None:
    said = [field.name for field in dataclasses.fields(TransportCapabilities) if field.type == "bool"]

    assert len([mutant for mutant in transport_capabilities.MUTANTS if "said to" not in mutant.name]) == 2 * len(said)


@pytest.mark.parametrize(
    ("module", "mutant", "lines"),
    [
        (clocks, "wakes in half the time", 1),  # a changed line
        (clocks, "lets nobody run before it returns at once", 2),  # with the call of what it replaces
        (transports, "drops a link whose service returns", 6),  # with a class of its own
    ],
)
def test_lines_are_counted_as_a_diff_would_show_them(module: ModuleType, mutant: str, lines: int) -> None:
    assert changed_lines(module, mutant) == lines


def test_rule_that_finds_nothing_alone_is_told() -> None:
    (mutant, *_) = signals.MUTANTS
    verdict = try_out(mutant)

    alone = found_alone([verdict])

    assert alone == {rule: [mutant] if rule == mutant.rule else [] for rule in SIGNAL.rules}
    assert "| S-ONCE |  |" in table_of_rules(alone)
