"""Every line of the fidelity page is asserted by a test over every transport, and every mark is a line of the page."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests" / "fidelity"
PAGE = ROOT / "docs" / "reference" / "fidelity.md"

_MARK = "pytest.mark.fidelity"
_WIRE = "wire"
"""The fixture that brings a test to every transport."""


def ids() -> list[str]:
    """Those of the page, in order."""
    return re.findall(r"(?m)^\| ([A-Z]-[A-Z0-9.-]+) \|", PAGE.read_text())


def ids_of(mark: ast.expr) -> tuple[str, ...]:
    """The ids of ``pytest.mark.fidelity("H-FIELDS", ...)``; none of any other expression."""
    if not isinstance(mark, ast.Call) or ast.unparse(mark.func) != _MARK:
        return ()
    return tuple(ast.literal_eval(argument) for argument in mark.args)


def marks_in(path: Path) -> Iterator[tuple[str, str]]:
    """Ids and the tests that bear them, of the tests that run over every transport."""
    for statement in ast.parse(path.read_text()).body:
        if not isinstance(statement, ast.FunctionDef) or not statement.name.startswith("test"):
            continue
        if _WIRE in [argument.arg for argument in statement.args.args]:
            yield from ((each, statement.name) for mark in statement.decorator_list for each in ids_of(mark))


def marks_anywhere_in(path: Path) -> int:
    """How many ids are marked in a file, on such tests or not."""
    return sum(len(ids_of(node)) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.expr))


@cache
def marked() -> dict[str, list[str]]:
    """Tests by the id they bear."""
    tests: dict[str, list[str]] = {}
    for path in sorted(TESTS.glob("test_*.py")):
        for each, test in marks_in(path):
            tests.setdefault(each, []).append(test)
    return tests


def test_ids_of_the_page_are_unique() -> None:
    assert len(ids()) > 40
    assert len(set(ids())) == len(ids())


@pytest.mark.parametrize("each", ids())
def test_line_is_asserted_by_a_test(each: str) -> None:
    assert marked().get(each, []) != []


def test_marks_are_lines_of_the_page() -> None:
    assert set(marked()) - set(ids()) == set()


def test_marks_are_on_tests_that_run_over_every_transport() -> None:
    paths = sorted((ROOT / "tests").rglob("*.py"))
    counts = {path: (len(list(marks_in(path))), marks_anywhere_in(path)) for path in paths if _MARK in path.read_text()}

    assert {path: each for path, each in counts.items() if each[0] != each[1] and path != Path(__file__)} == {}


def test_marks_are_found_wherever_they_may_be(tmp_path: Path) -> None:
    path = tmp_path / "test_it.py"
    path.write_text(
        '@pytest.mark.fidelity("H-1", "H-2")\n@pytest.mark.parametrize("x", [1])\ndef test_one(wire, x): ...\n'
        '@pytest.mark.fidelity("H-3")\ndef test_without_transport(): ...\n'
        '@pytest.mark.fidelity("H-4")\ndef helper(wire): ...\n'
        'pytestmark = pytest.mark.fidelity("H-5")\n'
    )

    assert list(marks_in(path)) == [("H-1", "test_one"), ("H-2", "test_one")]
    assert marks_anywhere_in(path) == 5
