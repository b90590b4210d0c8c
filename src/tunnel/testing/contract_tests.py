"""A contract as a class of tests for pytest: what those of all ports have in common.

Whoever has an adapter writes a harness, and::

    class TestSundial(ClockContract):
        harness = SundialHarness

An adapter for several event loops has a class for each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Generic, TypeVar

import pytest
from hypothesis import settings

from tunnel.testing.contract import EXAMPLES, Check, Contract
from tunnel.testing.event_loops import EventLoop
from tunnel.testing.harness import Harness

__all__ = ["ContractTests"]

HarnessT = TypeVar("HarnessT", bound=Harness)


class ContractTests(Generic[HarnessT]):
    """A test for each check of a contract, with its rule in the name.

    A subclass for a port says which contract, and those of adapters which harness.
    """

    contract: ClassVar[Contract[Any]]
    """The rules and their checks."""

    harness: ClassVar[Callable[[], Any]]
    """Makes the harness of the adapter in question: its class."""

    event_loop: ClassVar[EventLoop] = "asyncio"
    """On which event loop the checks run."""

    examples: ClassVar[int] = EXAMPLES
    """How many are drawn by each check that draws."""

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """A test for each check."""
        if "check" in metafunc.fixturenames:
            metafunc.parametrize("check", self.contract.checks, ids=str)

    def test_rule(self, check: Check[HarnessT]) -> None:
        """The adapter keeps the rule."""
        harness: HarnessT = type(self).harness()
        try:
            check.run(harness, self.event_loop, examples=self.examples, drawn_anew=not settings().derandomize)
        finally:
            harness.close()
