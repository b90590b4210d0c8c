import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from tunnel.domain.middleware.circuit import Circuit, CircuitState


def circuit(**settings):
    return Circuit(**{"failure_ratio": 0.5, "min_requests": 4, "window_s": 10, "open_s": 5, "probes": 1, **settings})


def run(each, now, *outcomes):
    for failed in outcomes:
        assert each.admit(now) == 0
        each.settle(each.era, now, failed=failed)


def test_opens_at_the_ratio_and_not_before_enough_requests():
    each = circuit()
    run(each, 0.0, True, True, False)
    assert each.state is CircuitState.CLOSED
    run(each, 0.0, True)
    assert each.state is CircuitState.OPEN
    assert each.admit(2.0) == pytest.approx(3.0)


def test_requests_out_of_the_window_do_not_count():
    each = circuit()
    run(each, 0.0, True, True, True)
    run(each, 10.0, True)
    assert each.state is CircuitState.CLOSED


def test_probe_that_succeeds_closes_it():
    each = circuit()
    run(each, 0.0, *[True] * 4)
    run(each, 5.0, False)
    assert each.state is CircuitState.CLOSED
    run(each, 5.0, True, True)
    assert each.state is CircuitState.CLOSED, "what was before is forgotten"


def test_probe_that_fails_opens_it_again():
    each = circuit()
    run(each, 0.0, *[True] * 4)
    run(each, 5.0, True)
    assert each.state is CircuitState.OPEN
    assert each.admit(9.9) > 0


def test_probe_of_which_nothing_is_learnt_gives_its_place_back():
    each = circuit()
    run(each, 0.0, *[True] * 4)
    assert each.admit(5.0) == 0
    assert each.admit(5.0) > 0
    each.settle(each.era, 6.0, failed=None)
    assert each.admit(6.0) == 0


def test_outcome_of_a_request_from_before_says_nothing():
    each = circuit()
    assert each.admit(0.0) == 0
    before = each.era
    run(each, 0.0, *[True] * 4)
    assert each.admit(5.0) == 0
    each.settle(before, 5.0, failed=False)
    assert each.state is CircuitState.HALF_OPEN


def test_as_many_probes_as_asked_for_must_succeed():
    each = circuit(probes=2)
    run(each, 0.0, *[True] * 4)
    run(each, 5.0, False)
    assert each.state is CircuitState.HALF_OPEN
    assert each.admit(5.0) == 0
    assert each.admit(5.0) == 5, "one has succeeded, one is under way"
    each.settle(each.era, 5.0, failed=False)
    assert each.state is CircuitState.CLOSED


def test_probe_that_is_over_leaves_room_for_another():
    each = circuit(probes=3)
    run(each, 0.0, *[True] * 4)
    assert [each.admit(5.0) for _ in range(4)] == [0, 0, 0, 5]
    each.settle(each.era, 5.0, failed=None)
    assert [each.admit(5.0) for _ in range(2)] == [0, 5]


def test_ratio_is_of_all_requests_of_the_window():
    each = circuit(failure_ratio=0.25, min_requests=1)
    run(each, 0.0, False, False, False)
    assert each.state is CircuitState.CLOSED
    run(each, 0.0, True)
    assert each.state is CircuitState.OPEN, "one of four is a quarter"


def test_requests_leave_the_window_a_tenth_of_it_at_a_time():
    each = circuit()
    run(each, 0.0, True)
    run(each, 1.0, True)
    run(each, 2.0, True)
    run(each, 10.5, True)
    assert each.state is CircuitState.CLOSED, "the first is out of the window"
    run(each, 10.5, True)
    assert each.state is CircuitState.OPEN


def test_requests_of_a_tenth_of_the_window_leave_it_together():
    each = circuit(min_requests=3)
    run(each, 100.0, True)
    run(each, 100.95, True)
    run(each, 110.5, True, True)
    assert each.state is CircuitState.CLOSED


def test_failures_below_the_ratio_leave_it_closed():
    each = circuit()
    run(each, 0.0, False, False, False, True)
    assert each.state is CircuitState.CLOSED


def test_every_change_of_state_is_another_era():
    each = circuit()
    seen = {each.era}
    for now in (0.0, 5.0, 10.0):
        run(each, now, *[True] * (4 if now == 0.0 else 1))
        seen.add(each.era)
    assert len(seen) == 4
    assert max(seen) == each.era


class CircuitMachine(RuleBasedStateMachine):
    """However requests come and go, no more than ``probes`` pass at once while the circuit is not closed."""

    def __init__(self):
        super().__init__()
        self.circuit = circuit(probes=2)
        self.now = 0.0
        self.running = []

    @rule(seconds=st.floats(min_value=0, max_value=6))
    def wait(self, seconds):
        self.now += seconds

    @rule()
    def begin(self):
        if self.circuit.admit(self.now) == 0:
            self.running.append(self.circuit.era)

    @rule(data=st.data(), failed=st.sampled_from([True, False, None]))
    def end(self, data, failed):
        if self.running:
            era = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
            self.circuit.settle(era, self.now, failed=failed)

    @invariant()
    def probes_are_bounded(self):
        if self.circuit.state is CircuitState.HALF_OPEN:
            assert self.running.count(self.circuit.era) <= 2
        elif self.circuit.state is CircuitState.OPEN:
            assert self.circuit.era not in self.running


def test_circuit_as_a_model():
    run_state_machine_as_test(CircuitMachine)
