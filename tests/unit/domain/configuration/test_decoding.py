"""Tables as settings, and all that is wrong with them."""

from __future__ import annotations

import msgspec
import pytest

from tunnel.domain.configuration.decoding import decode_table
from tunnel.domain.configuration.draft import decode_settings
from tunnel.domain.configuration.mistakes import mistake
from tunnel.domain.configuration.planned import PlannedKeys
from tunnel.domain.errors import ConfigurationError
from tunnel.domain.findings import Findings

PLANNED = PlannedKeys("later", "sooner")


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    name: str = "a"
    low: int = 0
    high: int = 1

    def check(self, found: Findings) -> None:
        with found:
            if self.low > self.high:
                raise mistake("low", "no more than high")
        with found:
            if self.name == "b":
                raise mistake("name", "another name")


class Inner(msgspec.Struct, frozen=True, kw_only=True):
    size: int = 0

    def __post_init__(self) -> None:
        if self.size < 0:
            raise mistake("inner.size", "a size")


class Outer(msgspec.Struct, frozen=True, kw_only=True):
    inner: Inner = Inner()

    def check(self, found: Findings) -> None:
        with found:
            if self.inner.size > 9:
                raise mistake("inner.size", "a smaller size")


class Whole(Draft, frozen=True, kw_only=True):
    def __post_init__(self) -> None:
        found = Findings()
        self.check(found)
        found.tell()


def told(table: dict[str, object]) -> list[str]:
    with pytest.raises(ConfigurationError) as raised:
        decode_settings(table, Whole, Draft, PLANNED, [judge])
    return [each.key_path for each in raised.value.mistakes]


def judge(settings: Draft, found: Findings) -> None:
    if settings.high == 13:
        raise mistake("high", "another number")


def test_table_becomes_settings() -> None:
    assert decode_settings({"low": 1}, Whole, Draft, PLANNED, [judge]) == Whole(low=1)
    assert decode_table({"low": 1}, Whole, PLANNED) == Whole(low=1)


def test_mistakes_of_a_table_are_told_in_its_order() -> None:
    with pytest.raises(ConfigurationError) as raised:
        decode_table({"high": "x", "lwo": 1, "name": 2}, Draft, PLANNED)
    assert [each.key_path for each in raised.value.mistakes] == ["high", "lwo", "name"]


def test_misspelt_keys_behind_planned_ones_are_told() -> None:
    with pytest.raises(ConfigurationError) as raised:
        decode_table({"later": 1, "lwo": 1, "sooner": 2}, Draft, PLANNED)
    assert [each.key_path for each in raised.value.mistakes] == ["later", "lwo", "sooner"]


def test_contradictions_are_told_beside_what_could_not_be_read() -> None:
    assert told({"low": 2, "name": 7}) == ["low", "name"]
    assert told({"name": "b", "low": "x"}) == ["name", "low"]


def test_contradictions_are_told_in_the_order_of_the_table() -> None:
    assert told({"name": "b", "low": 2}) == ["name", "low"]
    assert told({"low": 2, "name": "b"}) == ["low", "name"]


def test_judges_are_asked_whatever_was_found_before() -> None:
    assert told({"high": 13}) == ["high"]
    assert told({"low": 14, "high": 13}) == ["low", "high"]
    assert told({"name": 1, "high": 13}) == ["name", "high"]


def test_table_with_what_could_not_be_read_is_looked_at_by_nobody() -> None:
    with pytest.raises(ConfigurationError) as raised:
        decode_settings({"inner": {"size": "x"}}, Outer, Outer, PLANNED)

    assert [each.key_path for each in raised.value.mistakes] == ["inner.size"]
