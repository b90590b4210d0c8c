"""What gathers mistakes, and what stands for values that nobody can judge."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable

import pytest

from tunnel.domain.errors import ConfigurationError
from tunnel.domain.findings import MAX_FOUND, UNJUDGED, Findings


def error(key_path: str, expected: str = "expected b") -> ConfigurationError:
    return ConfigurationError(expected, key_path=key_path)


def test_nothing_found_is_nothing_told() -> None:
    found = Findings()

    with found:
        pass
    found.tell()

    assert not found
    assert found.mistakes == ()


def test_block_ends_with_its_mistake_and_the_next_one_begins() -> None:
    found = Findings()
    reached = []

    for key in ("a", "b"):
        with found:
            with found:
                raise error(key)
            reached.append(key)

    assert reached == ["a", "b"]
    assert [each.key_path for each in found.mistakes] == ["a", "b"]


def test_same_mistake_is_told_once() -> None:
    found = Findings()

    found.add(error("a"))
    found.add(ConfigurationError("expected b", key_path="a", others=[error("a"), error("a", "expected c")]))

    assert [(each.key_path, each.expected) for each in found.mistakes] == [("a", "expected b"), ("a", "expected c")]


def test_only_mistake_is_raised_as_it_was() -> None:
    found = Findings()
    only = error("a")
    found.add(only)

    with pytest.raises(ConfigurationError) as raised:
        found.tell()

    assert raised.value is only


def test_several_mistakes_are_raised_as_one_error() -> None:
    found = Findings()
    for key in ("a", "b"):
        found.add(error(key))

    with pytest.raises(ConfigurationError) as raised:
        found.tell()

    assert [each.key_path for each in raised.value.mistakes] == ["a", "b"]


def test_tables_around_a_mistake_are_not_clean() -> None:
    found = Findings()
    found.add(error("groups.web.rules[10].host"))

    unclean = ("groups", "groups.web", "groups.web.rules", "groups.web.rules[10]", "groups.web.rules[10].host")
    assert not any(map(found.clean, unclean))
    assert all(map(found.clean, ("group", "groups.we", "groups.web.rules[1]", "groups.api")))


@pytest.mark.parametrize(
    "look",
    [
        bool,
        len,
        iter,
        hash,
        str,
        int,
        float,
        math.floor,
        os.fspath,
        lambda it: it == "a",
        lambda it: it != "a",
        lambda it: it < 1,
        lambda it: it > 1,
        lambda it: it[0],
        lambda it: it.host,
        lambda it: "a" in it,
        {"a"}.__contains__,
        {"a": 1}.get,
        lambda it: it(),
        lambda it: f"{it}",
        lambda it: re.fullmatch("a", it),
        lambda it: "".join(["a", it]),  # type: ignore[list-item]
        "a".startswith,
        "abc".__contains__,
        lambda it: 1 + it,  # type: ignore[operator]
        lambda it: -it,  # type: ignore[operator]
        lambda it: dict(**it),  # type: ignore[call-overload]
        bytes.fromhex,
    ],
)
def test_looking_at_what_is_unjudged_ends_the_block_without_a_mistake(look: Callable[[object], object]) -> None:
    found = Findings()

    with found:
        look(found.unjudged("a"))
        raise AssertionError("it could be looked at")

    assert found.mistakes == ()


def test_unjudged_can_be_passed_on_and_told_from_nothing() -> None:
    assert UNJUDGED is not None
    assert repr(UNJUDGED) == "UNJUDGED"


def test_what_else_goes_wrong_is_not_gathered() -> None:
    found = Findings()

    with pytest.raises(TypeError), found:
        raise TypeError
    found.unjudged("a")
    with pytest.raises(ValueError, match="other"), found:
        raise ValueError("another")


@pytest.mark.parametrize("mistaken", [lambda: len(1), lambda: "a" + 1, error])  # type: ignore[arg-type, operator, call-arg]
def test_check_that_goes_wrong_by_itself_is_not_taken_for_one_that_looked(mistaken: Callable[[], object]) -> None:
    found = Findings()
    found.unjudged("a")

    with pytest.raises(TypeError), found:
        mistaken()


def test_mistakes_are_sorted_by_their_places() -> None:
    found = Findings()
    for key in ("b", "a", "c"):
        found.add(error(key))

    found.sort(lambda key_path: ("cab".index(key_path),))

    assert [each.key_path for each in found.mistakes] == ["c", "a", "b"]


def test_search_ends_after_so_many_mistakes() -> None:
    found = Findings()
    looked = 0

    def search() -> None:
        nonlocal looked
        with found:
            for place in range(3 * MAX_FOUND):
                looked += 1
                with found:
                    raise error(f"a[{place}]")

    with pytest.raises(ConfigurationError) as raised:
        search()

    assert looked == MAX_FOUND == 1000
    assert len(raised.value.mistakes) == MAX_FOUND + 1
    assert raised.value.mistakes[-1].expected == "more mistakes are not looked for"
    with pytest.raises(ConfigurationError) as again:
        Findings().add(raised.value)
    assert len(again.value.mistakes) == MAX_FOUND + 1


def test_search_that_ended_has_ended_for_all_blocks_around_it() -> None:
    found = Findings()
    ended: list[ConfigurationError] = []
    for place in range(MAX_FOUND - 1):
        found.add(error(f"a[{place}]"))
    with pytest.raises(ConfigurationError) as raised:
        found.add(error("b"))

    for _ in range(2):
        with pytest.raises(ConfigurationError) as again, found:
            raise raised.value
        ended.append(again.value)

    assert ended == [raised.value, raised.value]


def test_mistakes_beside_what_could_not_be_read_are_told() -> None:
    found = Findings()
    found.unjudged("a")

    found.add(ConfigurationError.of([error("a"), error("b")]))

    assert [each.key_path for each in found.mistakes] == ["b"]


def test_nothing_more_is_found_where_nothing_could_be_read() -> None:
    found = Findings()
    found.add(error("a", "expected a string"))
    found.unjudged("a")

    found.add(error("a", "expected something that fits"))
    found.add(error("a[0]"))

    assert [each.expected for each in found.mistakes] == ["expected a string", "expected b"]
