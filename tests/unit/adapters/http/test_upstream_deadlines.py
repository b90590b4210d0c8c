"""Deadlines in virtual time."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunnel.adapters.http import upstream_deadlines
from tunnel.adapters.http.upstream_deadlines import Deadlines


class Time:
    """A loop's timers and the clock they go by."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[tuple[float, int, Callable[[], None]]] = []
        self.made = 0

    def call_later(self, after_s: float, callback: Callable[[], None]) -> Time:
        self.made += 1
        heapq.heappush(self.timers, (self.now + after_s, self.made, callback))
        return self

    def cancel(self) -> None:
        self.timers.clear()

    def run(self, until: float) -> None:
        while self.timers and self.timers[0][0] <= until:
            self.now, _, callback = heapq.heappop(self.timers)
            callback()
        self.now = until


@pytest.fixture
def time(monkeypatch):
    return watched(monkeypatch)


def watched(monkeypatch) -> Time:
    time = Time()
    monkeypatch.setattr(upstream_deadlines, "monotonic", lambda: time.now)
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: time)
    return time


def test_each_thing_is_due_at_its_time_and_one_timer_watches_all(time):
    due = []
    deadlines = Deadlines(lambda thing: due.append((thing, time.now)))
    deadlines.add("a", 5.0)
    time.run(102.0)
    deadlines.add("b", 5.0)
    assert len(time.timers) == 1
    time.run(110.0)
    assert due == [("a", 105.0), ("b", 107.0)]
    assert not time.timers


def test_discarded_thing_is_never_due(time):
    due = []
    deadlines = Deadlines(due.append)
    deadlines.add("a", 5.0)
    deadlines.discard("a")
    deadlines.discard("b")
    time.run(200.0)
    assert not due
    assert time.made == 1


def test_newest_and_oldest_are_by_the_order_of_adding(time):
    deadlines = Deadlines(lambda thing: None)
    for thing in "abc":
        deadlines.add(thing, 5.0)
    assert deadlines.take_oldest() == "a"
    assert deadlines.take_newest() == ("c", False)
    time.now = 105.0
    assert deadlines.take_newest() == ("b", True)
    deadlines.add("d", 5.0)
    assert deadlines.take_all() == ["d"]
    assert not time.timers


def test_timer_that_comes_early_is_set_again(time):
    due = []
    deadlines = Deadlines(due.append)
    deadlines.add("a", 5.0)
    _, _, callback = time.timers.pop()
    time.now = 104.9999
    callback()
    assert not due
    time.run(106.0)
    assert due == ["a"]


def test_thing_may_be_added_while_another_is_due(time):
    due = []

    def again(thing):
        due.append(thing)
        if len(due) < 3:
            deadlines.add(thing, 1.0)

    deadlines = Deadlines(again)
    deadlines.add("a", 1.0)
    time.run(110.0)
    assert due == ["a"] * 3


@settings(max_examples=50)
@given(st.lists(st.tuples(st.floats(0, 3), st.booleans()), max_size=12))
def test_with_one_duration_nothing_is_early_or_late(steps):
    with pytest.MonkeyPatch.context() as monkeypatch:
        time = watched(monkeypatch)
        due: dict[int, float] = {}
        deadlines: Deadlines[int] = Deadlines(lambda thing: due.__setitem__(thing, time.now))
        expected = {}
        for number, (passes_s, discarded) in enumerate(steps):
            time.run(time.now + passes_s)
            deadlines.add(number, 2.0)
            expected[number] = time.now + 2.0
            if discarded:
                deadlines.discard(number)
                del expected[number]
        time.run(time.now + 10.0)
        assert due.keys() == expected.keys()
        assert all(0 <= due[number] - expected[number] <= 0.002 for number in due)
