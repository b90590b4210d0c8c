"""The contract of ingresses as one class of tests for pytest."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import pytest
from hypothesis import settings

from tunnel.testing.contract import Check
from tunnel.testing.event_loops import EventLoop
from tunnel.testing.ingress import checks
from tunnel.testing.ingress.harness import IngressHarness
from tunnel.testing.ingress.rules import INGRESS

__all__ = ["SCENARIOS", "IngressContract"]

SCENARIOS = (checks,)
"""The modules whose checks are the contract's; importing them adds these."""


class IngressContract:
    """What every ingress must do; a subclass says which harness, and may choose the event loop."""

    harness: ClassVar[Callable[[], IngressHarness]]
    event_loop: ClassVar[EventLoop] = "asyncio"
    examples: ClassVar[int] = 10

    @pytest.mark.parametrize("check", INGRESS.checks, ids=str)
    def test_rule(self, check: Check[IngressHarness]) -> None:
        """The ingress keeps the rule."""
        anew = not settings().derandomize
        check.run(type(self).harness(), self.event_loop, examples=self.examples, drawn_anew=anew)
