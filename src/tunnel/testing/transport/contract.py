"""The contract of transports as one class of tests for pytest."""

from __future__ import annotations

from tunnel.testing.contract_tests import ContractTests
from tunnel.testing.transport import any_order, backpressure, cancellation, delivery, ends, gathering, listening
from tunnel.testing.transport.harness import TransportHarness
from tunnel.testing.transport.rules import TRANSPORT

__all__ = ["SCENARIOS", "TransportContract"]

SCENARIOS = (delivery, ends, backpressure, gathering, cancellation, listening, any_order)
"""The modules whose checks are the contract's; importing them adds these."""


class TransportContract(ContractTests[TransportHarness]):
    """What every transport must do; a subclass says which harness, and may choose the event loop."""

    contract = TRANSPORT
