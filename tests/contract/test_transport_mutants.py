"""The contract of transports finds every mistake that a transport is given, and by the rule that it breaks."""

from __future__ import annotations

import logging

import pytest
from contract.mutants.transports import MUTANTS, TWIN

from tunnel.testing.event_loops import VIRTUAL
from tunnel.testing.mutants import EXAMPLES, Mutant, try_out
from tunnel.testing.transport import TRANSPORT


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Services fail on purpose."""
    caplog.set_level(logging.CRITICAL, "tunnel")


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_mutant_is_found_by_the_rule_that_it_names_first_and_by_no_other_than_it_says(mutant: Mutant) -> None:
    verdict = try_out(mutant)

    assert [each.rule.id for each in verdict.broken][:1] == [mutant.rule.id]
    assert verdict.as_named, [each.rule.id for each in verdict.broken]


def test_every_rule_has_a_mutant_that_no_other_rule_finds() -> None:
    assert {mutant.rule for mutant in MUTANTS if not mutant.others} == set(TRANSPORT.rules)


def test_what_the_mutants_are_made_of_breaks_no_rule() -> None:
    assert TRANSPORT.verdict(TWIN, VIRTUAL, examples=EXAMPLES) == ()
