from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from balancing_kit import Member, members
from hypothesis import given, settings
from hypothesis import strategies as st

from tunnel.domain.balancing import ConsistentHash, consistent_hash, hash_ring

KEYS = [b"visitor-%d" % number for number in range(1000)]


def owners(strategy: ConsistentHash, candidates: tuple[Member, ...]) -> dict[bytes, str]:
    random = Random(1)
    return {key: strategy.choose(candidates, random, key).name for key in KEYS}


def test_key_stays_with_its_member() -> None:
    everyone, strategy = members(5), ConsistentHash()
    assert owners(strategy, everyone) == owners(strategy, everyone) == owners(ConsistentHash(), everyone[::-1])


def test_load_makes_no_difference() -> None:
    everyone, strategy = members(3), ConsistentHash()
    before = owners(strategy, everyone)
    everyone[0].in_flight = 1_000_000
    assert owners(strategy, everyone) == before


@settings(max_examples=30)
@given(st.lists(st.sets(st.integers(0, 7), min_size=1), min_size=1, max_size=6))
def test_owners_depend_on_who_is_present_and_on_nothing_before(history: list[set[int]]) -> None:
    everyone, strategy, random = members(8, [1, 1, 1, 1, 2, 3, 5, 9]), ConsistentHash(), Random(1)
    for present in history:
        candidates, keys = tuple(everyone[number] for number in present), KEYS[:50]
        fresh = ConsistentHash()
        assert [strategy.choose(candidates, random, key) for key in keys] == [
            fresh.choose(candidates, random, key) for key in keys
        ]


def test_keys_of_a_lost_member_are_spread_over_the_others() -> None:
    everyone, strategy = members(4), ConsistentHash()
    before, after = owners(strategy, everyone), owners(strategy, everyone[:3])
    moved = Counter(after[key] for key in KEYS if before[key] == "m3")
    assert all(after[key] == before[key] for key in KEYS if before[key] != "m3")
    assert min(moved[f"m{number}"] for number in range(3)) > 40, moved


def test_weight_zero_gets_no_key() -> None:
    assert set(owners(ConsistentHash(), members(3, [1, 0, 1])).values()) == {"m0", "m2"}


@pytest.mark.parametrize("weights", [[1, 1, 1], [1, 1, 2]])
def test_session_without_key_goes_anywhere_by_weight(weights: list[int]) -> None:
    everyone, strategy, random = members(3, weights), ConsistentHash(), Random(1)
    got = Counter(strategy.choose(everyone, random).name for _ in range(3000))
    assert all(abs(got[each.name] - 3000 * each.weight / sum(weights)) < 150 for each in everyone), got


def test_ring_is_not_built_again_while_members_come_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    hashed = []
    points_of = hash_ring._points_of
    monkeypatch.setattr(hash_ring, "_points_of", lambda name: hashed.append(name) or points_of(name))
    everyone, strategy = members(4), ConsistentHash()
    for absent in (3, 0, 2, 1):
        strategy.choose(everyone, Random(1), b"k")
        strategy.choose(everyone[:absent] + everyone[absent + 1 :], Random(1), b"k")
    assert sorted(hashed) == ["m0", "m1", "m2", "m3"]


def test_members_that_never_come_back_leave_the_ring() -> None:
    strategy = ConsistentHash()
    for turn in range(3 * consistent_hash._SPARE_MEMBERS):
        strategy.choose((Member(f"n{turn}"), Member("stays")), Random(1), b"k")
        assert len(strategy._ring) <= consistent_hash._SPARE_MEMBERS + 4


def test_as_many_absent_members_as_present_ones_stay_on_the_ring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consistent_hash, "_SPARE_MEMBERS", 0)
    everyone, strategy = members(4), ConsistentHash()
    for present in (everyone, everyone[:2]):
        strategy.choose(present, Random(1), b"k")
    assert len(strategy._ring) == 4
    strategy.choose(everyone[:1], Random(1), b"k")
    assert len(strategy._ring) == 1
