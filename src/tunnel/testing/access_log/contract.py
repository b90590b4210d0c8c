"""The contract of access logs as one class of tests for pytest."""

from __future__ import annotations

from tunnel.testing.access_log import checks
from tunnel.testing.access_log.harness import AccessLogHarness
from tunnel.testing.access_log.rules import ACCESS_LOG
from tunnel.testing.contract_tests import ContractTests

__all__ = ["SCENARIOS", "AccessLogContract"]

SCENARIOS = (checks,)
"""The modules whose checks are the contract's; importing them adds these."""


class AccessLogContract(ContractTests[AccessLogHarness]):
    """What every access log must do; a subclass says which harness, and may choose the event loop."""

    contract = ACCESS_LOG
    examples = 5
