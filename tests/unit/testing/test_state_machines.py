"""State machines that are built anew for each harness."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tunnel.testing.state_machines import run_state_machine


class Counter:
    """Counts; at a ``limit`` it forgets to."""

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self.count = 0
        self.closed = False

    def add(self, number: int) -> None:
        if self.limit is None or self.count < self.limit:
            self.count += number


class CounterMachine(RuleBasedStateMachine):
    def __init__(self, counter: Counter) -> None:
        super().__init__()
        self.counter = counter
        self.expected = 0

    @rule(number=st.integers(1, 3))
    def add(self, number: int) -> None:
        self.counter.add(number)
        self.expected += number

    @invariant()
    def counted_right(self) -> None:
        assert self.counter.count == self.expected

    def teardown(self) -> None:
        self.counter.closed = True


QUICK = settings(max_examples=30, derandomize=True, database=None, deadline=None)


def test_machine_finds_what_is_broken_and_tells_the_steps():
    with pytest.raises(AssertionError) as caught:
        run_state_machine(lambda: Counter(limit=3), CounterMachine, run_with=QUICK)

    steps = [line for line in "\n".join(caught.value.__notes__).splitlines() if line.startswith("state.add")]
    assert steps == ["state.add(number=3)", "state.add(number=1)"]


def test_one_machine_serves_several_harnesses_each_run_with_its_own():
    made: list[Counter] = []

    def make() -> Counter:
        made.append(Counter())
        return made[-1]

    run_state_machine(make, CounterMachine, run_with=QUICK)
    run_state_machine(lambda: Counter(limit=None), CounterMachine, run_with=QUICK)

    assert len(made) > 1
    assert all(counter.closed for counter in made)
    assert max(counter.count for counter in made) > 0
