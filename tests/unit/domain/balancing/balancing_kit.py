"""Members to choose from, and counts of who was chosen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random

from tunnel.domain.balancing import Strategy

__all__ = ["Member", "chosen_names", "counts", "members"]


@dataclass(eq=False)
class Member:
    name: str
    in_flight: int = 0
    weight: int = 1


def members(count: int, weights: Iterable[int] | None = None) -> tuple[Member, ...]:
    """``m0``, ``m1``, ... of weight 1, or of the weights given."""
    return tuple(
        Member(f"m{number}", weight=weight) for number, weight in zip(range(count), weights or [1] * count, strict=True)
    )


def chosen_names(strategy: Strategy, candidates: Sequence[Member], times: int, seed: int = 1) -> list[str]:
    random = Random(seed)
    return [strategy.choose(candidates, random, b"%d" % turn).name for turn in range(times)]


def counts(strategy: Strategy, candidates: Sequence[Member], times: int, seed: int = 1) -> dict[str, int]:
    """How often each was chosen, also those that never were."""
    return {member.name: 0 for member in candidates} | Counter(chosen_names(strategy, candidates, times, seed))
