"""Every rule of the protocol page is shown by a test, and every mark on a test is a rule of the page."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
PAGE = ROOT / "docs" / "reference" / "protocol.md"

_MARK = "pytest.mark.rule"
_TESTS_OF_A_STATE_MACHINE = "TestCase"


def text_and_table() -> tuple[str, str]:
    """The page without its table of rules, and the table."""
    text, _, table = PAGE.read_text().partition("\n## Rules\n")
    return text, table


def ids_in_the_text() -> list[str]:
    """Ids where the text states their rules, in order."""
    return re.findall(r"\*\*([A-Z]\d+)\*\*", text_and_table()[0])


def ids_referred_to() -> set[str]:
    """Ids that the text mentions elsewhere."""
    return set(re.findall(r"(?<!\*\*)\b([A-Z]\d{1,2})\b(?!\*\*)", text_and_table()[0]))


def table() -> dict[str, str]:
    """Test by id, as the table names it; empty where it names none."""
    rows = [line.split("|")[1:-1] for line in text_and_table()[1].splitlines() if re.match(r"\| [A-Z]\d+ ", line)]
    return {cells[0].strip(): cells[2].strip().strip("`") for cells in rows}


def ids_of(mark: ast.expr) -> tuple[str, ...] | None:
    """The ids of ``pytest.mark.rule("F1", ...)``; None for any other expression."""
    if not isinstance(mark, ast.Call) or ast.unparse(mark.func) != _MARK:
        return None
    return tuple(ast.literal_eval(argument) for argument in mark.args)


def marks_in(path: Path) -> Iterator[tuple[str, str]]:
    """Ids and the tests that bear them, as ``file::name`` or ``file::Class::name``."""
    name = path.relative_to(TESTS).as_posix()

    def walk(body: list[ast.stmt], outer: str) -> Iterator[tuple[str, str]]:
        for statement in body:
            match statement:
                case ast.FunctionDef() | ast.AsyncFunctionDef() if statement.name.startswith("test"):
                    for decorator in statement.decorator_list:
                        yield from ((each, f"{outer}::{statement.name}") for each in ids_of(decorator) or ())
                case ast.ClassDef():
                    yield from walk(statement.body, f"{outer}::{statement.name}")
                case ast.Assign(targets=[ast.Name(id=target)], value=ast.Call(func=mark, args=[marked])):
                    # A mark on what Hypothesis makes of a state machine: TestIt = pytest.mark.rule("F1")(It.TestCase)
                    if isinstance(marked, ast.Attribute) and marked.attr == _TESTS_OF_A_STATE_MACHINE:
                        yield from ((each, f"{outer}::{target}") for each in ids_of(mark) or ())

    yield from walk(ast.parse(path.read_text()).body, name)


def marks_anywhere_in(path: Path) -> int:
    """How many ids are marked in a file, on tests or not."""
    return sum(len(ids_of(node) or ()) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))


def marked_files() -> list[Path]:
    """Every file below ``tests/`` in which something is marked."""
    return [path for path in sorted(TESTS.rglob("*.py")) if _MARK in path.read_text()]


@cache
def marked() -> dict[str, list[str]]:
    """Tests by the id they bear."""
    tests: dict[str, list[str]] = {}
    for path in marked_files():
        for rule, test in marks_in(path):
            tests.setdefault(rule, []).append(test)
    return tests


def test_table_lists_the_rules_of_the_text_in_their_order() -> None:
    assert len(ids_in_the_text()) > 100
    assert list(table()) == ids_in_the_text()


def test_text_refers_to_rules_that_there_are() -> None:
    assert ids_referred_to() <= set(ids_in_the_text())


def test_marks_name_rules_of_the_page() -> None:
    assert {rule: tests for rule, tests in marked().items() if rule not in table()} == {}


def test_marks_are_on_tests() -> None:
    found = {path: (len(list(marks_in(path))), marks_anywhere_in(path)) for path in marked_files()}

    assert {path: counts for path, counts in found.items() if counts[0] != counts[1]} == {}


@pytest.mark.parametrize("rule", table())
def test_rule_is_shown_by_the_test_that_the_table_names(rule: str) -> None:
    tests = marked().get(rule, [])

    assert tests != [], "no test bears this id"
    assert table()[rule] in tests


def test_marks_are_found_wherever_they_may_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "TESTS", tmp_path)
    path = tmp_path / "unit" / "test_it.py"
    path.parent.mkdir()
    path.write_text(
        '@pytest.mark.rule("A1", "A2")\n@given(x())\nasync def test_one(): ...\n'
        'class TestIt:\n    @pytest.mark.rule("A3")\n    def test_two(self): ...\n'
        'TestMachine = pytest.mark.rule("A4")(Machine.TestCase)\n'
        '@pytest.mark.rule("A5")\ndef helper(): ...\n'
        'pytestmark = pytest.mark.rule("A6")\n'
    )

    assert list(marks_in(path)) == [
        ("A1", "unit/test_it.py::test_one"),
        ("A2", "unit/test_it.py::test_one"),
        ("A3", "unit/test_it.py::TestIt::test_two"),
        ("A4", "unit/test_it.py::TestMachine"),
    ]
    assert marks_anywhere_in(path) == 6
