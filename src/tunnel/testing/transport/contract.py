"""The contract of transports as one class of tests for pytest."""

from __future__ import annotations

import pytest
from hypothesis import settings

from tunnel.testing.contract import EXAMPLES, Check
from tunnel.testing.event_loops import EventLoop
from tunnel.testing.transport import any_order, backpressure, cancellation, delivery, ends, listening
from tunnel.testing.transport.harness import TransportHarness
from tunnel.testing.transport.rules import TRANSPORT

__all__ = ["SCENARIOS", "TransportContract"]

SCENARIOS = (delivery, ends, backpressure, cancellation, listening, any_order)
"""The modules whose checks are the contract's; importing them adds these."""


class TransportContract:
    """What every transport must do; a test for each check, with its rule in the name.

    Subclasses give a ``harness`` fixture. They may give another ``anyio_backend``, a fixture or a parameter: the event
    loops to run on, as ``tunnel.testing.event_loops`` has them.
    """

    examples = EXAMPLES
    """Drawn examples of each check that draws."""

    @pytest.fixture
    def harness(self) -> TransportHarness:
        """A harness of the transport in question."""
        raise NotImplementedError("a subclass of TransportContract gives the fixture `harness`")

    @pytest.fixture
    def anyio_backend(self) -> EventLoop:
        """Which event loop to run on."""
        return "asyncio"

    @pytest.mark.parametrize("check", TRANSPORT.checks, ids=str)
    def test_rule(self, check: Check[TransportHarness], harness: TransportHarness, anyio_backend: EventLoop) -> None:
        """The transport keeps the rule."""
        check.run(harness, anyio_backend, examples=self.examples, drawn_anew=not settings().derandomize)
