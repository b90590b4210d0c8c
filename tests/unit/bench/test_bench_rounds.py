"""Turns, and who is left out of them."""

from collections.abc import Iterator
from contextlib import contextmanager

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
        self.begun = 0
        self.ended = 0

    @contextmanager
    def renew(self, name: str) -> Iterator[Lane]:
        self.begun += 1
        yield Lane(name, {"plain": NOWHERE}, "")
        self.ended += 1

    def __call__(self, lane, meter, *, seconds: float) -> Result:
        self.turns.append((lane.name, seconds))
        if lane.name == self.failing:
            raise Failed("it broke")
        with meter:
            return Result(done=len(self.turns), elapsed_s=1.0, p50_ms=1.0, p99_ms=1.0)


def measure(recorder: Recorder, *, names: str = "abc", rounds: int = 1, seconds: float = 1, **of_load):
    load = Load("load", "a load", "request", recorder, lanes=tuple(names), **of_load)
    lanes = {name: Lane(name, {"plain": NOWHERE}, "") for name in ("c", "a", "b", "other")}
    turns = {"renew": recorder.renew, "rounds": rounds, "seconds": seconds}
    return measure_all([load], lanes, tell=lambda line: None, **turns)[0]


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


def test_a_load_that_weighs_gets_a_lane_of_its_own_for_each_turn_and_no_warm_up():
    recorder = Recorder()

    measured = measure(recorder, rounds=2, weighs=True)

    assert recorder.begun == recorder.ended == len(recorder.turns) == 6
    assert {name: len(samples) for name, samples in measured.samples.items()} == {"a": 2, "b": 2, "c": 2}


def test_a_lane_that_does_not_start_again_is_left_out():
    recorder = Recorder()
    recorder.renew = failing_to_renew

    measured = measure(recorder, weighs=True)

    assert set(measured.failed) == {"a", "b", "c"}
    assert recorder.turns == []


@contextmanager
def failing_to_renew(name: str) -> Iterator[Lane]:
    raise Failed("it does not start")
    yield


def test_a_load_of_long_turns_has_fewer_of_them():
    measured = measure(Recorder(), rounds=5, most_rounds=2)

    assert {len(samples) for samples in measured.samples.values()} == {2}


def test_each_entrance_of_a_lane_is_warmed_up_once():
    recorder = Recorder()
    loads = [
        Load(name, "a load", "request", recorder, entrance, lanes=("a",))
        for name, entrance in (("one", "plain"), ("two", "plain"), ("three", "bytes"))
    ]
    lanes = {"a": Lane("a", {"plain": NOWHERE, "bytes": NOWHERE}, "")}

    measure_all(loads, lanes, renew=recorder.renew, rounds=1, seconds=2, tell=lambda line: None)

    assert [seconds for _, seconds in recorder.turns] == [1, 2, 2, 1, 2]
