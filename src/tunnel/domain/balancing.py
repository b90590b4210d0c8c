"""Which of several candidates takes the next session.

A strategy is a pure object: candidates and a random source in, one candidate out. It serves one group or one upstream
and may be exchanged for another at any time.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, Protocol, TypeVar

from tunnel.domain.random_source import RandomSource

__all__ = [
    "DEFAULT_STRATEGY",
    "STRATEGIES",
    "STRATEGY_NAMES",
    "Candidate",
    "PowerOfTwo",
    "RoundRobin",
    "Strategy",
]


class Candidate(Protocol):
    """What can take a session: a client's tunnel, a target of an upstream."""

    @property
    @abstractmethod
    def in_flight(self) -> int:
        """Sessions it is serving now."""


C = TypeVar("C", bound=Candidate)


class Strategy(Protocol):
    """Picks one of the candidates."""

    @abstractmethod
    def choose(self, candidates: Sequence[C], random: RandomSource) -> C:
        """The candidate that takes the next session.

        Args:
            candidates: At least one; all of them may take it. Those that stay keep their order from call to call, but
                any may be missing now and back later.
            random: Where a strategy gets its randomness from.
        """


class RoundRobin(Strategy):
    """Each candidate in turn.

    The turn belongs to candidates, not to positions: next is whoever follows the one chosen last, wherever members that
    came or went have moved it. A count taken modulo the number of candidates would skip some and repeat others at each
    such change, and favour the first when changes are regular.
    """

    __slots__ = ("_last_id", "_position")

    def __init__(self) -> None:
        self._position = 0
        # Its identity rather than itself, which would keep a lost tunnel in memory. Should another object get the same
        # identity, one turn starts from there.
        self._last_id: int | None = None

    def choose(self, candidates: Sequence[C], random: RandomSource) -> C:
        self._position = self._next_position(candidates)
        chosen = candidates[self._position]
        self._last_id = id(chosen)
        return chosen

    def _next_position(self, candidates: Sequence[C]) -> int:
        # 1. Usually the last one is where it was: take the one after it.
        # 2. Else look for it: some before it came or went.
        # 3. Else it is gone itself, and the one after it now stands in its place.
        count = len(candidates)
        last = self._position
        if last < count and id(candidates[last]) == self._last_id:
            return (last + 1) % count
        for position, candidate in enumerate(candidates):
            if id(candidate) == self._last_id:
                return (position + 1) % count
        return last if last < count else 0


class PowerOfTwo(Strategy):
    """The less busy of two different candidates picked at random; either, when both are equally busy.

    Nearly as even as asking all of them, at the cost of two, and without the herd that all servers asking all of them
    would send to the same idle one.
    """

    __slots__ = ()

    def choose(self, candidates: Sequence[C], random: RandomSource) -> C:
        count = len(candidates)
        if count == 1:
            return candidates[0]
        first = random.randrange(count)
        second = random.randrange(count - 1)
        if second >= first:
            second += 1
        # Which of the two was picked first is random, so that a tie is decided at random too.
        one, other = candidates[first], candidates[second]
        return other if other.in_flight < one.in_flight else one


STRATEGIES: Final[Mapping[str, Callable[[], Strategy]]] = MappingProxyType(
    {"round_robin": RoundRobin, "power_of_two": PowerOfTwo}
)
"""The strategies that are built, by the name configuration gives them."""

STRATEGY_NAMES: Final = (
    "round_robin",
    "weighted",
    "random",
    "least_sessions",
    "power_of_two",
    "consistent_hash",
)
"""Every name configuration knows, of strategies built and not built yet."""

DEFAULT_STRATEGY: Final = "power_of_two"
"""What a group or an upstream uses that names none."""
