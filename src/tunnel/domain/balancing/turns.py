"""Taking turns by weight, through changes of who is there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from heapq import heappop, heappush
from typing import Final, TypeAlias

from tunnel.domain.balancing.strategy import Candidate

__all__ = ["Turns"]

_SPARE_MEMBERS: Final = 1024
"""Absent members whose debts are kept however few are present, at a name and a number each."""

_MAX_CHOICES: Final = 1 << 20
"""Choices after which turns are counted from 0 again, while starts are small enough to be compared as floats."""

Weigh: TypeAlias = Callable[[Sequence[Candidate]], list[int]]


class Turns:
    """Whose turn it is, among candidates that may change at any time.

    Everybody keeps the debt it has: what it is behind of its share of the choices it was there for, or ahead. Debts
    neither grow nor vanish in absence. A turn that passed to the next in line instead would skip some and repeat others
    whenever members come and go, and with regular changes skip the same one for ever.

    Args:
        weigh: The weight of each candidate, at least one above 0.
    """

    __slots__ = ("_debts", "_schedule", "_weigh")

    def __init__(self, weigh: Weigh) -> None:
        self._weigh = weigh
        self._debts: dict[str, float] = {}
        self._schedule: _Schedule | None = None

    def take(self, candidates: Sequence[Candidate]) -> int:
        """The position of the candidate whose turn it is; it takes it."""
        schedule = self._schedule
        if schedule is None or schedule.candidates is not candidates or schedule.choices == _MAX_CHOICES:
            schedule = self._schedule = self._settle(candidates)
        return schedule.take()

    def _settle(self, candidates: Sequence[Candidate]) -> _Schedule:
        debts = self._debts
        if self._schedule is not None:
            debts.update(self._schedule.debts())
        if len(debts) > len(candidates) + _SPARE_MEMBERS:
            self._debts = debts = {each.name: debts[each.name] for each in candidates if each.name in debts}
        return _Schedule(candidates, self._weigh(candidates), debts)


class _Schedule:
    """The turns of candidates that stay the same. With W the sum of weights:

    1. The turns of a candidate of weight w start W/w choices apart, the first one at 0. None is taken before it starts.
    2. Of the turns that have started, the one whose successor starts first is taken; a tie goes by position.

    This is the schedule of periodic tasks by earliest deadline at full load: every turn is taken before its successor
    starts. So nobody is ever a whole session ahead of its share, or behind, and turns in a row are as few as can be.

    Args:
        candidates: Whose turns.
        weights: Of each.
        debts: By name, sessions that somebody is behind of its share, or below 0 ahead of it.
    """

    __slots__ = ("_first", "_rests", "_started", "_starts", "_time", "_total", "_waiting", "_weights", "candidates")

    def __init__(self, candidates: Sequence[Candidate], weights: Sequence[int], debts: Mapping[str, float]) -> None:
        self.candidates = candidates
        self._weights = weights
        self._total = sum(weights)
        # The next start of a candidate is its number in _starts divided by its weight. Whoever is owed something starts
        # early. What rounding leaves is kept, or it would add up over many changes.
        owed = [debts.get(candidate.name, 0) * self._total for candidate in candidates]
        self._starts = [-round(each) for each in owed]
        self._rests = [each + start for each, start in zip(owed, self._starts, strict=True)]
        # Debts need not cancel out: some members are absent. The time to begin with is the first at which the turns
        # that should have been taken are at least those that were, so that there always is one to take.
        taken = sum(start for start, weight in zip(self._starts, weights, strict=True) if weight)
        self._first = self._time = -(-taken // self._total)
        self._waiting: list[tuple[int, int]] = []
        self._started: list[tuple[float, int]] = []
        for position, weight in enumerate(weights):
            if weight:
                self._queue(position)

    @property
    def choices(self) -> int:
        """How many turns have been taken."""
        return self._time - self._first

    def take(self) -> int:
        """The position of the candidate whose turn it is; it takes it."""
        waiting = self._waiting
        while waiting and waiting[0][0] <= self._time:
            self._queue(heappop(waiting)[1])
        position = heappop(self._started)[1]
        self._starts[position] += self._total
        self._time += 1
        self._queue(position)
        return position

    def debts(self) -> dict[str, float]:
        """What everybody is owed now, by name."""
        choices = self.choices
        return {
            candidate.name: (choices * weight - start + rest) / self._total
            for candidate, weight, start, rest in zip(
                self.candidates, self._weights, self._starts, self._rests, strict=True
            )
        }

    def _queue(self, position: int) -> None:
        start, weight = self._starts[position], self._weights[position]
        if start <= self._time * weight:
            # Equal fractions are equal as floats too, since division rounds correctly; different ones are far enough
            # apart to differ.
            heappush(self._started, ((start + self._total) / weight, position))
        else:
            heappush(self._waiting, (-(-start // weight), position))
