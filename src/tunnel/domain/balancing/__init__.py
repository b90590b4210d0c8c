"""Which of several candidates takes the next session.

A strategy is a pure object: candidates and a random source in, one candidate out. ``STRATEGIES`` has all of them by the
names that configuration gives them.
"""

from __future__ import annotations

from tunnel.domain.balancing.consistent_hash import ConsistentHash
from tunnel.domain.balancing.hash_key import HashKey, HashSource
from tunnel.domain.balancing.least_sessions import LeastSessions
from tunnel.domain.balancing.power_of_two import PowerOfTwo
from tunnel.domain.balancing.random_choice import RandomChoice
from tunnel.domain.balancing.round_robin import RoundRobin
from tunnel.domain.balancing.strategies import (
    DEFAULT_STRATEGY,
    KEYED_STRATEGIES,
    STRATEGIES,
    STRATEGY_NAMES,
    UNWEIGHTED_STRATEGIES,
)
from tunnel.domain.balancing.strategy import MAX_WEIGHT, Candidate, Strategy
from tunnel.domain.balancing.weighted import Weighted

__all__ = [
    "DEFAULT_STRATEGY",
    "KEYED_STRATEGIES",
    "MAX_WEIGHT",
    "STRATEGIES",
    "STRATEGY_NAMES",
    "UNWEIGHTED_STRATEGIES",
    "Candidate",
    "ConsistentHash",
    "HashKey",
    "HashSource",
    "LeastSessions",
    "PowerOfTwo",
    "RandomChoice",
    "RoundRobin",
    "Strategy",
    "Weighted",
]
