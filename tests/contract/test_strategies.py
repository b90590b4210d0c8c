"""The balancing strategies under their contract."""

from __future__ import annotations

from tunnel.domain.balancing import strategies
from tunnel.testing.balancing import StrategyContract, StrategyHarness


class RoundRobinHarness(StrategyHarness):
    strategy = strategies.RoundRobin
    weighted = False
    tolerance = 0.01


class WeightedHarness(StrategyHarness):
    strategy = strategies.Weighted
    tolerance = 0.01


class RandomHarness(StrategyHarness):
    strategy = strategies.RandomChoice


class LeastSessionsHarness(StrategyHarness):
    strategy = strategies.LeastSessions
    loaded = True


class PowerOfTwoHarness(StrategyHarness):
    strategy = strategies.PowerOfTwo
    loaded = True


class ConsistentHashHarness(StrategyHarness):
    strategy = strategies.ConsistentHash
    keyed = True


HARNESSES = {
    "round_robin": RoundRobinHarness,
    "weighted": WeightedHarness,
    "random": RandomHarness,
    "least_sessions": LeastSessionsHarness,
    "power_of_two": PowerOfTwoHarness,
    "consistent_hash": ConsistentHashHarness,
}


class TestRoundRobin(StrategyContract):
    harness = RoundRobinHarness


class TestWeighted(StrategyContract):
    harness = WeightedHarness


class TestRandom(StrategyContract):
    harness = RandomHarness


class TestLeastSessions(StrategyContract):
    harness = LeastSessionsHarness


class TestPowerOfTwo(StrategyContract):
    harness = PowerOfTwoHarness


class TestConsistentHash(StrategyContract):
    harness = ConsistentHashHarness


def test_every_strategy_that_has_a_name_is_under_the_contract() -> None:
    assert {name: harness.strategy for name, harness in HARNESSES.items()} == dict(strategies.STRATEGIES)
