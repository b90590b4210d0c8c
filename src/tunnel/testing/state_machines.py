"""State machines of Hypothesis, one for each harness."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

__all__ = ["run_state_machine"]

H = TypeVar("H")

_DEFAULT = settings(deadline=None, suppress_health_check=list(HealthCheck))
"""How long an example takes is a figure of the machine, not of the adapter."""


def run_state_machine(
    harness_factory: Callable[[], H],
    machine: Callable[[H], RuleBasedStateMachine],
    *,
    run_with: settings | None = None,
) -> None:
    """Search for steps after which what a harness makes is not as the machine says it should be.

    A machine that is a class of tests belongs to one adapter, and Hypothesis refuses to share it among several. This
    makes it anew for each run, with a harness of its own, which the machine's ``teardown`` closes if it has to be.

    Args:
        harness_factory: Makes a harness; called for each run of the machine.
        machine: Makes the machine around it; usually its class.
        run_with: How long to search; None: Hypothesis' profile that is loaded, without a deadline.

    Raises:
        AssertionError: Whatever the machine raises, with the shortest steps to it, as code, in its notes.
    """
    make: Any = lambda: machine(harness_factory())  # noqa: E731 - it takes functions, though its type says classes
    run_state_machine_as_test(make, settings=run_with or settings(_DEFAULT))
