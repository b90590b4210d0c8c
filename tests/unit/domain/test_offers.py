"""Which configurations wait for an answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnel.domain.offers import Offers


def offers(*digests: str) -> Offers:
    """Offered as versions 1, 2, and so on."""
    made = Offers()
    for version, digest in enumerate(digests, 1):
        made.add(version, digest)
    return made


def test_each_is_answered_once() -> None:
    made = offers("a", "b")
    assert [made.answered(1, "a"), made.answered(1, "a"), made.answered(2, "b"), made.answered(2, "b")] == [1, 0, 2, 0]


@pytest.mark.parametrize(("version", "digest"), [(1, "b"), (2, "a"), (3, "a"), (-1, "a"), (0, "c")])
def test_answer_to_what_was_not_offered_is_none(version: int, digest: str) -> None:
    made = offers("a", "b")
    assert made.answered(version, digest) == 0
    assert 1 in made
    assert 2 in made


def test_answer_settles_what_was_offered_before() -> None:
    made = offers("a", "b", "c")
    assert made.answered(2, "b") == 2
    assert [version in made for version in (1, 2, 3)] == [False, False, True]


def test_client_that_had_a_configuration_answers_the_first_offer_of_it() -> None:
    made = offers("a", "b", "a")
    assert [made.answered(0, "a"), made.answered(2, "b"), made.answered(3, "a")] == [1, 2, 3]


def test_other_link_has_other_offers() -> None:
    made = offers("a")
    made.clear()
    assert made.answered(1, "a") == 0


def test_offers_that_nobody_answers_are_forgotten_the_oldest_first() -> None:
    made = offers(*map(str, range(1001)))
    assert [1 in made, 2 in made, 1001 in made] == [False, True, True]


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=20), st.data())
def test_answers_in_order_are_taken_whichever_are_left_out(digests: list[str], data: st.DataObject) -> None:
    made = offers(*digests)
    versions = data.draw(st.sets(st.integers(1, len(digests))))
    assert [made.answered(version, digests[version - 1]) for version in sorted(versions)] == sorted(versions)
