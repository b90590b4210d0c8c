"""The contract of transports finds every mistake that a transport is given, and by the rule that it breaks."""

from __future__ import annotations

import logging

import pytest
from contract.mutants import transport_capabilities, transports

from tunnel.testing.mutants import Mutant, try_out

MUTANTS = (*transports.MUTANTS, *transport_capabilities.MUTANTS)


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Services fail on purpose."""
    caplog.set_level(logging.CRITICAL, "tunnel")


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_mutant_is_found_by_the_rule_that_it_names(mutant: Mutant) -> None:
    assert [each.rule for each in try_out(mutant, named_only=True).broken] == [mutant.rule]


@pytest.mark.full
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_rule_that_a_mutant_names_finds_it_first_and_no_other_does_than_it_says(mutant: Mutant) -> None:
    verdict = try_out(mutant, smallest=False)

    assert verdict.as_named, [each.rule.id for each in verdict.broken]
