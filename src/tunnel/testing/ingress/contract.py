"""The contract of ingresses as one class of tests for pytest."""

from __future__ import annotations

from tunnel.testing.contract_tests import ContractTests
from tunnel.testing.ingress import checks
from tunnel.testing.ingress.harness import IngressHarness
from tunnel.testing.ingress.rules import INGRESS

__all__ = ["SCENARIOS", "IngressContract"]

SCENARIOS = (checks,)
"""The modules whose checks are the contract's; importing them adds these."""


class IngressContract(ContractTests[IngressHarness]):
    """What every ingress must do; a subclass says which harness, and may choose the event loop."""

    contract = INGRESS
    examples = 10
