"""Consistent hashing: what moves when members change, and how even shares are."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunnel.domain.balancing import hash_ring
from tunnel.domain.balancing.hash_ring import HashRing

KEYS = [b"10.0.%d.%d" % divmod(number, 256) for number in range(2000)]

names = st.text(min_size=1, max_size=6)
some_weights = st.dictionaries(names, st.integers(1, 3) | st.integers(1, 1000), min_size=1, max_size=6)


def owners(ring: HashRing, weights: dict[str, int], keys: list[bytes] = KEYS[:100]) -> dict[bytes, str]:
    heaviest = max(weights.values())
    return {key: ring.owner(key, weights, heaviest) for key in keys}


def fresh_owners(weights: dict[str, int], keys: list[bytes] = KEYS[:100]) -> dict[bytes, str]:
    ring = HashRing()
    ring.add(weights)
    return owners(ring, weights, keys)


@settings(max_examples=40)
@given(some_weights, names, st.integers(1, 1000))
def test_member_that_comes_takes_keys_and_moves_none_between_others(
    weights: dict[str, int], name: str, weight: int
) -> None:
    before, after = fresh_owners(weights), fresh_owners(weights | {name: weight})
    if name not in weights:
        assert all(after[key] in (before[key], name) for key in before)


@settings(max_examples=40)
@given(some_weights.filter(lambda weights: len(weights) > 1), st.data())
def test_member_that_leaves_gives_up_its_own_keys_only(weights: dict[str, int], data: st.DataObject) -> None:
    gone = data.draw(st.sampled_from(sorted(weights)))
    before = fresh_owners(weights)
    after = fresh_owners({name: weight for name, weight in weights.items() if name != gone})
    assert all(after[key] == before[key] for key in before if before[key] != gone)


@settings(max_examples=40)
@given(some_weights, st.data(), st.integers(1, 1000))
def test_greater_weight_only_attracts(weights: dict[str, int], data: st.DataObject, more: int) -> None:
    name = data.draw(st.sampled_from(sorted(weights)))
    before, after = fresh_owners(weights), fresh_owners(weights | {name: weights[name] + more})
    assert all(after[key] in (before[key], name) for key in before)


@settings(max_examples=40)
@given(some_weights, st.data())
def test_owner_is_the_same_whatever_the_ring_has_seen(weights: dict[str, int], data: st.DataObject) -> None:
    ring = HashRing()
    for name in data.draw(st.permutations(sorted(weights))):
        ring.add([name])
    ring.add(f"absent{number}" for number in range(3))
    assert owners(ring, weights) == fresh_owners(weights)
    ring.retain(weights)
    assert len(ring) == len(weights)
    assert owners(ring, weights) == fresh_owners(weights)


@settings(max_examples=40)
@given(some_weights, st.binary(max_size=8))
def test_owner_is_the_nearest_for_its_weight(weights: dict[str, int], key: bytes) -> None:
    """What the walk finds is what asking every member for its distance finds."""
    start = int.from_bytes(hash_ring.blake2b(key, digest_size=8).digest(), "little")
    quotients = {
        name: Fraction(min((point - start) % 2**64 for point in hash_ring._points_of(name)), weight)
        for name, weight in weights.items()
    }
    assert fresh_owners(weights, [key])[key] == min(quotients, key=quotients.__getitem__)


@pytest.mark.parametrize("count", [2, 3, 10])
def test_equal_members_get_even_shares(count: int) -> None:
    shares = Counter(fresh_owners({f"p/client-{number}": 1 for number in range(count)}, KEYS).values())
    assert len(shares) == count
    assert all(0.7 < shares[name] * count / len(KEYS) < 1.3 for name in shares), shares


def test_shares_are_in_proportion_to_weights() -> None:
    weights = {"a": 1, "b": 3, "c": 6}
    shares = Counter(fresh_owners(weights, KEYS).values())
    assert all(0.75 < shares[name] / len(KEYS) * 10 / weight < 1.25 for name, weight in weights.items()), shares


def test_member_that_comes_takes_about_its_share() -> None:
    before = fresh_owners({f"m{number}": 1 for number in range(4)}, KEYS)
    after = fresh_owners({f"m{number}": 1 for number in range(5)}, KEYS)
    moved = sum(before[key] != after[key] for key in KEYS)
    assert 0.7 < moved * 5 / len(KEYS) < 1.3


def test_points_shared_by_two_members_go_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hash_ring, "_points_of", lambda name: iter([1 << 40]))
    for order in (["a", "b"], ["b", "a"]):
        ring = HashRing()
        for name in order:
            ring.add([name])
        assert ring.owner(b"key", {"a": 1, "b": 1}, 1) == "a"


def test_owners_are_the_same_in_every_process_and_version() -> None:
    script = (
        "from tunnel.domain.balancing.hash_ring import HashRing\n"
        "ring = HashRing(); ring.add({'a', 'b', 'c'})\n"
        "print(''.join(ring.owner(b'%d' % n, {'c': 1, 'a': 2, 'b': 1}, 2) for n in range(24)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env={"PYTHONHASHSEED": "77"}, capture_output=True, text=True, check=True
    )
    expected = fresh_owners({"a": 2, "b": 1, "c": 1}, [b"%d" % number for number in range(24)])
    assert done.stdout.strip() == "".join(expected.values()) == "aabaacccbaaaacbbabaabbbc"


def test_names_of_any_text_have_points() -> None:
    assert fresh_owners({"unix:/run/\udcff.sock": 1}, [b"k"]) == {b"k": "unix:/run/\udcff.sock"}


class WalkedRing(HashRing):
    """Counts the points that searches look at."""

    walked = 0

    def _from(self, start: int) -> Iterator[int]:
        for point in super()._from(start):
            self.walked += 1
            yield point


def walked(weights: dict[str, int]) -> int:
    ring = WalkedRing()
    ring.add(weights)
    owners(ring, weights, KEYS[:50])
    return ring.walked


def test_search_among_equals_ends_at_the_first_point() -> None:
    assert walked({"a": 1, "b": 1, "c": 1}) == 50


def test_search_ends_where_even_the_heaviest_could_not_win_any_more() -> None:
    assert 50 < walked({"a": 2, "b": 3, "c": 4}) < 50 * 3


def test_distance_goes_on_past_the_top_of_the_circle(monkeypatch: pytest.MonkeyPatch) -> None:
    points = {"near": 10, "heavy": 1 << 62}
    monkeypatch.setattr(hash_ring, "_points_of", lambda name: iter([points[name]]))
    found = fresh_owners({"near": 1, "heavy": 3}, KEYS[:200])
    for key, name in found.items():
        start = int.from_bytes(hash_ring.blake2b(key, digest_size=8).digest(), "little")
        near, heavy = ((points[each] - start) % 2**64 for each in ("near", "heavy"))
        assert name == ("near" if 3 * near < heavy else "heavy")
    assert set(found.values()) == {"near", "heavy"}
