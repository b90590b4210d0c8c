"""How mistakes are told: the key, what was expected, what was found."""

from __future__ import annotations

from datetime import date

import pytest

from tunnel.domain.configuration.mistakes import (
    alternatives,
    check_name,
    key_path,
    mistake,
    shown,
    suggestion,
    unknown_name,
)
from tunnel.domain.errors import ConfigurationError


@pytest.mark.parametrize(
    ("segments", "path"),
    [
        ((), ""),
        (("rules", 0, "host"), "rules[0].host"),
        (("groups", "a b", "é"), 'groups."a b"."\\u00e9"'),
        (("x", 1, 2), "x[1][2]"),
    ],
)
def test_key_path_is_written_as_toml_writes_keys(segments: tuple[str | int, ...], path: str) -> None:
    assert key_path(*segments) == path


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (1.5, "1.5"),
        ("é", '"é"'),
        ("a\nb", '"a\\nb"'),
        ("x" * 58, '"' + "x" * 58 + '"'),
        ("x" * 59, '"' + "x" * 59 + '..."'),
        ("x" * 500, '"' + "x" * 59 + '..."'),
        (10**59, "1" + "0" * 59),
        (10**60, "1" + "0" * 59 + "..."),
        ([], "an empty list"),
        ((1,), "a list"),
        ({}, "a table"),
        (date(2026, 1, 1), "a date"),
    ],
)
def test_values_are_shown_on_one_short_line(value: object, text: str) -> None:
    assert shown(value) == text


def test_what_may_not_be_shown_is_left_out() -> None:
    assert str(mistake("token", "a string")) == "token: expected a string"
    assert str(mistake("token", "a string", got=None)) == "token: expected a string, got null"


def test_alternatives_are_quoted_as_written() -> None:
    assert alternatives(["é"]) == '"é"'
    assert alternatives(["a", "é"]) == 'one of "a", "é"'


def test_the_closest_name_is_suggested_as_written() -> None:
    assert suggestion("cafe", ["café", "cafes", "other"]) in ('; did you mean "café"?', '; did you mean "cafes"?')
    assert suggestion("caféx", ["café", "other"]) == '; did you mean "café"?'
    assert suggestion("x", ["other"]) == ""


def test_unknown_name_lists_what_is_known_or_how_to_add_one() -> None:
    error = unknown_name("wbe", ["web", "api"], "rules[0].group", kind="group", add="[groups.NAME]")
    assert str(error) == 'rules[0].group: unknown group "wbe"; expected one of "api", "web"; did you mean "web"?'
    error = unknown_name("web", [], "rules[0].group", kind="group", add="[groups.NAME]")
    assert str(error) == 'rules[0].group: unknown group "web"; there is none; add [groups.NAME]'


def test_unknown_name_lists_twenty_names_and_counts_the_others() -> None:
    known = [f"g{number:04}" for number in range(1001)]

    assert str(unknown_name("g00021", known[:22], "group", kind="group")).endswith(
        '"g0019" and 2 more; did you mean "g0021"?'
    )
    # To compare a name with ever more takes ever longer.
    assert str(unknown_name("g00O1", known, "group", kind="group")).endswith('"g0019" and 981 more')


def test_twenty_names_are_all_there_are_to_list() -> None:
    known = [f"g{number:04}" for number in range(20)]

    assert str(unknown_name("x", known, "group", kind="group")).endswith('"g0018", "g0019"')
    assert str(unknown_name("x", [*known, "g0020"], "group", kind="group")).endswith('"g0019" and 1 more')


def test_misspelt_name_is_looked_for_among_a_thousand() -> None:
    known = ["production", *(f"g{number:04}" for number in range(999))]

    assert str(unknown_name("producton", known, "group", kind="group")).endswith('; did you mean "production"?')


@pytest.mark.parametrize("name", ["a", "a b", "é", "x" * 128])
def test_names_are_printable_and_up_to_128_characters(name: str) -> None:
    check_name(name, "group", what="a name")


@pytest.mark.parametrize("name", ["", " a", "a ", "a\nb", "x" * 129])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^group: expected a name of 1 to 128 printable characters"):
        check_name(name, "group", what="a name")
