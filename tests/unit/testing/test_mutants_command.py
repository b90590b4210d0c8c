"""The command that tries mutants."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from tunnel.testing.contract import Contract
from tunnel.testing.harness import Harness
from tunnel.testing.mutants import Mutant, main

LAMP: Contract[Any] = Contract("lamp")
SHINES = LAMP.state("L-SHINES", "It shines when it is on.")
REPEATS = LAMP.state("L-REPEATS", "It can be turned on again.")


class Lamp(Harness):
    shines = True
    repeats = True


class Dark(Lamp):
    shines = False


class Spent(Lamp):
    repeats = False


@LAMP.shows(SHINES)
async def shines(harness: Lamp) -> None:
    if not harness.shines:
        raise AssertionError("it is dark")


@LAMP.shows(REPEATS)
async def repeats(harness: Lamp) -> None:
    if not harness.repeats:
        raise AssertionError("it is spent")


DARK = Mutant("is dark", LAMP, SHINES, Dark)
SPENT = Mutant("is spent", LAMP, REPEATS, Spent)


@pytest.fixture
def collection(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    module = ModuleType("lamps")
    monkeypatch.setitem(sys.modules, "lamps", module)
    yield module
    logging.disable(logging.NOTSET)


def test_table_tells_what_found_each_and_what_each_found(
    collection: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    collection.MUTANTS = (DARK, SPENT)  # type: ignore[attr-defined]

    assert main(["lamps"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "| mutant | rule | others | shown by | counterexample |",
        "| --- | --- | --- | --- | --- |",
        "| is dark | L-SHINES |  | shines | it is dark |",
        "| is spent | L-REPEATS |  | repeats | it is spent |",
        "",
        "| rule | mutants that no other rule finds |",
        "| --- | --- |",
        "| L-SHINES | is dark |",
        "| L-REPEATS | is spent |",
    ]


@pytest.mark.parametrize(
    ("mutants", "told"),
    [
        ((DARK,), "finds no mutant alone: L-REPEATS"),
        ((DARK, SPENT, Mutant("is a lamp", LAMP, SHINES, Lamp)), "not found as it says: is a lamp"),
        ((DARK, SPENT, Mutant("is dark", LAMP, REPEATS, Dark)), "not found as it says: is dark"),
    ],
)
def test_what_is_not_as_it_should_be_is_told_last(
    collection: ModuleType, capsys: pytest.CaptureFixture[str], mutants: tuple[Mutant, ...], told: str
) -> None:
    collection.MUTANTS = mutants  # type: ignore[attr-defined]

    assert main(["lamps"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == told


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "the following arguments are required: collection"),
        (["no_such.module"], "No module named 'no_such': is the folder it is in on PYTHONPATH?"),
        ([json.__name__], "no mutants in json"),
    ],
)
def test_arguments_that_name_no_mutants_are_a_mistake(
    capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert told in capsys.readouterr().err
