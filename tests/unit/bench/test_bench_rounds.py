"""Turns, and who is left out of them."""

import pytest

from bench.lanes import Entrance, Lane
from bench.loads import Load
from bench.processes import Failed
from bench.rounds import measure_all
from bench.samples import Result

NOWHERE = Entrance("127.0.0.1:1")


class Recorder:
    """A load that notes who had a turn, and fails where it was told to."""

    def __init__(self, failing: str = "") -> None:
        self.turns: list[tuple[str, float]] = []
        self.failing = failing

    def __call__(self, lane, meter, *, seconds: float) -> Result:
        self.turns.append((lane.name, seconds))
        if lane.name == self.failing:
            raise Failed("it broke")
        with meter:
            return Result(done=len(self.turns), elapsed_s=1.0, p50_ms=1.0, p99_ms=1.0)


def measure(recorder: Recorder, **kwargs):
    load = Load("load", "a load", "request", recorder, lanes=("a", "b", "c"))
    lanes = {name: Lane(name, NOWHERE, NOWHERE, "") for name in ("c", "a", "b", "other")}
    return measure_all([load], lanes, tell=lambda line: None, **kwargs)[0]


def test_each_round_begins_with_another_lane():
    recorder = Recorder()

    measure(recorder, rounds=4, seconds=2)

    warm_up, *rounds = [recorder.turns[start : start + 3] for start in range(0, 15, 3)]
    assert ["".join(name for name, _ in turns) for turns in rounds] == ["abc", "bca", "cab", "abc"]
    assert warm_up == [("a", 1), ("b", 1), ("c", 1)]
    assert {seconds for turns in rounds for _, seconds in turns} == {2}


def test_samples_are_those_of_the_rounds_only():
    measured = measure(Recorder(), rounds=2, seconds=1)

    assert {name: [each.rate for each in samples] for name, samples in measured.samples.items()} == {
        "a": [4, 9],
        "b": [5, 7],
        "c": [6, 8],
    }


@pytest.mark.parametrize("failing", ["a", "b", "c"])
def test_a_lane_that_fails_is_left_out_and_the_others_go_on(failing):
    recorder = Recorder(failing)

    measured = measure(recorder, rounds=2, seconds=1)

    assert measured.failed == {failing: "it broke"}
    assert set(measured.samples) == {"a", "b", "c"} - {failing}
    assert [name for name, _ in recorder.turns].count(failing) == 1
