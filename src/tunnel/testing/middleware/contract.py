"""The contract of middleware as one class of tests for pytest."""

from __future__ import annotations

from tunnel.testing.contract_tests import ContractTests
from tunnel.testing.middleware import bounds, ends, passing, settings
from tunnel.testing.middleware.harness import MiddlewareHarness
from tunnel.testing.middleware.rules import MIDDLEWARE

__all__ = ["SCENARIOS", "MiddlewareContract"]

SCENARIOS = (settings, passing, ends, bounds)
"""The modules whose checks are the contract's; importing them adds these."""


class MiddlewareContract(ContractTests[MiddlewareHarness]):
    """What all middleware must do; a subclass says which harness, and may choose the event loop."""

    contract = MIDDLEWARE
    examples = 10
