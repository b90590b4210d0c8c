"""The contract of targets as one class of tests for pytest."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import pytest
from hypothesis import settings

from tunnel.testing.contract import Check
from tunnel.testing.event_loops import EventLoop
from tunnel.testing.target import checks
from tunnel.testing.target.harness import TargetHarness
from tunnel.testing.target.rules import TARGET

__all__ = ["SCENARIOS", "TargetContract"]

SCENARIOS = (checks,)
"""The modules whose checks are the contract's; importing them adds these."""


class TargetContract:
    """What every target must do; a subclass says which harness, and may choose the event loop."""

    harness: ClassVar[Callable[[], TargetHarness]]
    event_loop: ClassVar[EventLoop] = "asyncio"
    examples: ClassVar[int] = 15

    @pytest.mark.parametrize("check", TARGET.checks, ids=str)
    def test_rule(self, check: Check[TargetHarness]) -> None:
        """The target keeps the rule."""
        anew = not settings().derandomize
        check.run(type(self).harness(), self.event_loop, examples=self.examples, drawn_anew=anew)
