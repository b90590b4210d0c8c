"""The strategies by the names that configuration gives them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from tunnel.domain.balancing.consistent_hash import ConsistentHash
from tunnel.domain.balancing.least_sessions import LeastSessions
from tunnel.domain.balancing.power_of_two import PowerOfTwo
from tunnel.domain.balancing.random_choice import RandomChoice
from tunnel.domain.balancing.round_robin import RoundRobin
from tunnel.domain.balancing.strategy import Strategy
from tunnel.domain.balancing.weighted import Weighted

__all__ = ["DEFAULT_STRATEGY", "KEYED_STRATEGIES", "STRATEGIES", "STRATEGY_NAMES", "UNWEIGHTED_STRATEGIES"]

STRATEGIES: Final[Mapping[str, Callable[[], Strategy]]] = MappingProxyType(
    {
        "round_robin": RoundRobin,
        "weighted": Weighted,
        "random": RandomChoice,
        "least_sessions": LeastSessions,
        "power_of_two": PowerOfTwo,
        "consistent_hash": ConsistentHash,
    }
)
"""Makes a strategy, by its name."""

STRATEGY_NAMES: Final = tuple(STRATEGIES)
"""Every name there is."""

UNWEIGHTED_STRATEGIES: Final = frozenset({"round_robin"})
"""Those to which weights other than 0 make no difference."""

KEYED_STRATEGIES: Final = frozenset({"consistent_hash"})
"""Those that go by the key of a session."""

DEFAULT_STRATEGY: Final = "power_of_two"
"""What a group or an upstream uses that names none."""
