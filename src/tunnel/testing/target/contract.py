"""The contract of targets as one class of tests for pytest."""

from __future__ import annotations

from tunnel.testing.contract_tests import ContractTests
from tunnel.testing.target import bounds, checks, given_up
from tunnel.testing.target.harness import TargetHarness
from tunnel.testing.target.rules import TARGET

__all__ = ["SCENARIOS", "TargetContract"]

SCENARIOS = (checks, bounds, given_up)
"""The modules whose checks are the contract's; importing them adds these."""


class TargetContract(ContractTests[TargetHarness]):
    """What every target must do; a subclass says which harness, and may choose the event loop."""

    contract = TARGET
    examples = 15
