"""Balancing strategies with one mistake each. Their twins are those of the library."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from itertools import count
from typing import Final

from tunnel.domain.balancing.consistent_hash import ConsistentHash
from tunnel.domain.balancing.least_sessions import LeastSessions
from tunnel.domain.balancing.random_choice import RandomChoice
from tunnel.domain.balancing.round_robin import RoundRobin
from tunnel.domain.balancing.strategy import C, Strategy
from tunnel.domain.balancing.weighted import Weighted
from tunnel.domain.random_source import RandomSource
from tunnel.testing import balancing as rules
from tunnel.testing.balancing import STRATEGY, StrategyHarness
from tunnel.testing.mutants import Mutant


class Remembering(Weighted):
    """Returns the candidate it was given first under that name, which may be gone."""

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[str, object] = {}

    def choose(self, candidates: Sequence[C], random: RandomSource, key: bytes = b"") -> C:
        chosen = super().choose(candidates, random, key)
        return self._known.setdefault(f"{chosen.name} {chosen.weight}", chosen)  # type: ignore[return-value]


class Overflowing(RoundRobin):
    """Of a pair, sends what is to be spared to the one that is being emptied."""

    def choose(self, candidates: Sequence[C], random: RandomSource, key: bytes = b"") -> C:
        if len(candidates) == 2 and not candidates[0].weight:
            return candidates[0]
        return super().choose(candidates, random, key)


class Stubborn(Weighted):
    """Sends everything to the first when all are being emptied."""

    def choose(self, candidates: Sequence[C], random: RandomSource, key: bytes = b"") -> C:
        if not any(each.weight for each in candidates):
            return candidates[0]
        return super().choose(candidates, random, key)


class Flat(RandomChoice):
    """Takes weights for truth values."""

    def choose(self, candidates: Sequence[C], random: RandomSource, key: bytes = b"") -> C:
        able = [each for each in candidates if each.weight] or candidates
        return able[random.randrange(len(able))]


_choices = count()


class Impure(Strategy):
    """Counts in a place that all instances share."""

    def choose(self, candidates: Sequence[C], random: RandomSource, key: bytes = b"") -> C:
        able = [each for each in candidates if each.weight] or candidates
        return able[next(_choices) % len(able)]


class Restarting(RoundRobin):
    """Begins from the front whenever somebody comes or goes."""

    def __init__(self) -> None:
        super().__init__()
        self._last: Sequence[object] = ()

    def choose(self, candidates: Sequence[C], random: RandomSource, key: bytes = b"") -> C:
        if candidates is not self._last:
            super().__init__()
            self._last = candidates
        return super().choose(candidates, random, key)


class MostSessions(LeastSessions):
    """Of a pair, chooses the busier."""

    def choose(self, candidates: Sequence[C], random: RandomSource, key: bytes = b"") -> C:
        able = [each for each in candidates if each.weight] or candidates
        busiest = max(able, key=lambda each: each.in_flight)
        return busiest if len(able) == 2 and busiest.in_flight else super().choose(candidates, random, key)


class KeyedUnawares(RandomChoice):
    """Goes by the key though its harness says that it does not."""

    def choose(self, candidates: Sequence[C], random: RandomSource, key: bytes = b"") -> C:
        if key == b"x":
            return next((each for each in candidates if each.weight), candidates[0])
        return super().choose(candidates, random, key)


class Modulo(ConsistentHash):
    """Divides keys by how many candidates there are."""

    def choose(self, candidates: Sequence[C], random: RandomSource, key: bytes = b"") -> C:
        able = [each for each in candidates for _ in range(each.weight)] or list(candidates)
        return able[zlib.crc32(key) % len(able)]


def _harness(made: Callable[[], Strategy], **known: object) -> Callable[[], StrategyHarness]:
    return type(f"{made.__name__}Harness", (StrategyHarness,), {"strategy": made, **known})  # type: ignore[attr-defined]


TWINS: Final = (
    _harness(Weighted),
    _harness(RoundRobin, weighted=False),
    _harness(RandomChoice),
    _harness(LeastSessions, loaded=True),
    _harness(ConsistentHash, keyed=True),
)

MUTANTS: Final = (
    Mutant("chooses who has left", STRATEGY, rules.MEMBER, _harness(Remembering)),
    Mutant("gives sessions to who is being emptied", STRATEGY, rules.EMPTIED, _harness(Overflowing, weighted=False)),
    Mutant("burdens one when all are being emptied", STRATEGY, rules.EMERGENCY, _harness(Stubborn)),
    Mutant("takes weights for truth values", STRATEGY, rules.SHARES, _harness(Flat)),
    Mutant("has a state of its own that instances share", STRATEGY, rules.REPEATS, _harness(Impure, weighted=False)),
    Mutant("begins anew when somebody comes or goes", STRATEGY, rules.RETURNS, _harness(Restarting, weighted=False)),
    Mutant("prefers the busier of two", STRATEGY, rules.LOAD, _harness(MostSessions, loaded=True)),
    Mutant("goes by keys unannounced", STRATEGY, rules.KEY, _harness(KeyedUnawares)),
    Mutant("moves all keys when one candidate leaves", STRATEGY, rules.MOVES, _harness(Modulo, keyed=True)),
    # Capabilities claimed without cause, and denied.
    Mutant(
        "ignores keys, and claims to heed them",
        STRATEGY,
        rules.KEY,
        _harness(RandomChoice, keyed=True),
        others=frozenset({rules.MOVES}),
    ),
    Mutant("heeds keys, and denies it", STRATEGY, rules.KEY, _harness(ConsistentHash)),
    Mutant("ignores weights, and claims to heed them", STRATEGY, rules.SHARES, _harness(RoundRobin)),
    Mutant("heeds weights, and denies it", STRATEGY, rules.SHARES, _harness(Weighted, weighted=False)),
    Mutant("ignores load, and claims to heed it", STRATEGY, rules.LOAD, _harness(RandomChoice, loaded=True)),
    Mutant("heeds load, and denies it", STRATEGY, rules.LOAD, _harness(LeastSessions)),
    # Figures too high and too low.
    Mutant(
        "takes weights for truth values, and is said to be so inexact",
        STRATEGY,
        rules.SHARES,
        _harness(Flat, tolerance=2.0),
    ),
    Mutant("is looked at too seldom to tell", STRATEGY, rules.SHARES, _harness(Weighted, choices=300)),
)
