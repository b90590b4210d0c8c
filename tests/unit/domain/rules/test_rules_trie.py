from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tunnel.domain.rules.trie import Trie


def test_closest_value_comes_first() -> None:
    trie: Trie[str, int] = Trie(below_itself=True)
    trie.insert_below("", 0)
    trie.insert_below("ab", 2)
    trie.insert_at("ab", 3)
    trie.insert_below("abc", 4)
    assert trie.lookup("ab") == [3, 2, 0]
    assert trie.lookup("abx") == [2, 0]
    assert trie.lookup("abcd") == [4, 2, 0]
    assert trie.lookup("a") == [0]
    assert trie.lookup("") == [0]


def test_what_lies_below_may_exclude_the_node_itself() -> None:
    trie: Trie[str, int] = Trie(below_itself=False)
    trie.insert_below("a", 1)
    assert trie.lookup("a") == []
    assert trie.lookup("ab") == [1]


def test_later_values_replace_earlier_ones() -> None:
    trie: Trie[str, int] = Trie(below_itself=True)
    trie.insert_at("a", 1)
    trie.insert_at("a", 2)
    assert trie.lookup("a") == [2]


KEYS = st.text("ab", max_size=4)


@given(st.dictionaries(KEYS, st.integers()), st.dictionaries(KEYS, st.integers()), KEYS, st.booleans())
def test_lookup_agrees_with_a_scan(at: dict[str, int], below: dict[str, int], keys: str, below_itself: bool) -> None:
    trie: Trie[str, tuple[str, int]] = Trie(below_itself=below_itself)
    for stored, value in at.items():
        trie.insert_at(stored, ("at", value))
    for stored, value in below.items():
        trie.insert_below(stored, ("below", value))
    starts = [keys[:length] for length in range(len(keys), -1, -1)]
    expected = [("at", at[keys])] if keys in at else []
    expected += [("below", below[start]) for start in starts if start in below and (below_itself or start != keys)]
    assert trie.lookup(keys) == expected
