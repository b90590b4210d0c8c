"""Middleware, access logs, admin ports and TLS of listeners that are broken on purpose: each is found by its rule."""

from __future__ import annotations

import pytest
from contract.mutants import access_logs, admin_listeners, listener_tls, middlewares

from tunnel.testing.mutants import EXAMPLES, Mutant, Verdict, table, try_out

MODULES = (middlewares, access_logs, admin_listeners, listener_tls)
MUTANTS = tuple(mutant for module in MODULES for mutant in module.MUTANTS)

SLOW = ("turns away what it does not know", "leaves a socket behind", "does not hear of being cancelled")
"""Those of which the smallest example takes its time, or that have to be waited for."""

QUICK = tuple(mutant for mutant in MUTANTS if mutant.name not in SLOW)


def named(mutant: Mutant) -> str:
    return f"{mutant.contract.port}-{mutant.name.replace(' ', '-')}"


@pytest.mark.parametrize("mutant", QUICK, ids=named)
def test_mutant_is_found_by_the_rule_that_it_names(mutant: Mutant) -> None:
    checks = [check for check in mutant.contract.checks if check.rule == mutant.rule]
    found = mutant.contract.verdict(mutant.harness, mutant.event_loop, checks=checks, examples=EXAMPLES)

    assert found, f"{mutant.rule} was to find it:\n{table([Verdict(mutant, found)])}"


@pytest.mark.full
@pytest.mark.parametrize("mutant", MUTANTS, ids=named)
def test_mutant_is_found_by_its_rule_and_no_other(mutant: Mutant) -> None:
    verdict = try_out(mutant)

    assert verdict.as_named, f"{mutant.rule} alone was to find it:\n{table([verdict])}"


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_twin_keeps_every_rule(module: object) -> None:
    mutant = module.MUTANTS[-1]  # type: ignore[attr-defined]

    assert mutant.contract.verdict(module.TWIN, mutant.event_loop) == ()  # type: ignore[attr-defined]


def test_every_rule_of_these_ports_has_a_mutant_that_it_alone_finds() -> None:
    contracts = {id(mutant.contract): mutant.contract for mutant in MUTANTS}.values()
    alone = {mutant.rule for mutant in MUTANTS if not mutant.others}

    assert {rule for contract in contracts for rule in contract.rules} == alone
