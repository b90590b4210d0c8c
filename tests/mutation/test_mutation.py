"""The mutants that ``make mutation`` makes, and the list of those that survive."""

from __future__ import annotations

import ast
import copy

import pytest
from mutation.mutants import Mutant, mutants
from mutation.survivors import Survivor, known, listed
from mutation.tree import DOMAIN, SURVIVORS

KNOWN = known(SURVIVORS)


def of_text(source: str) -> list[Mutant]:
    return list(mutants(ast.parse(source)))


@pytest.mark.parametrize(
    ("source", "changes"),
    [
        ("a < b", ["a < b  ->  a <= b"]),
        ("a and b", ["a and b  ->  a or b"]),
        ("x += 1", ["x += 1  ->  x -= 1", "1  ->  2"]),
        ("call()", ["call()  ->  pass"]),
        ("if flag:\n    pass", ["if flag: pass  ->  if not flag: pass"]),
        ("def f() -> int | None:\n    return x", ["return x  ->  return None"]),
        ("f(0, 0)", ["f(0, 0)  ->  pass", "0  ->  1", "0  ->  1 (2)"]),
        ('"""About."""\n__all__ = ["a"]\nx: int | None', []),
    ],
)
def test_one_operator_at_a_time_is_changed(source: str, changes: list[str]) -> None:
    assert [each.change for each in of_text(source)] == changes


def test_every_mutant_is_another_program() -> None:
    tree = ast.parse((DOMAIN / "mux" / "windows.py").read_text())

    made = [ast.dump(each.change_tree(copy.deepcopy(tree))) for each in mutants(tree)]

    assert ast.dump(tree) not in made
    assert len(set(made)) == len(made)


def test_place_of_a_mutant_has_a_name_and_its_change_is_told_once() -> None:
    made = of_text("LIMIT = 1\nclass A:\n    size: int = 2\n    def f(self):\n        return g(1, 1)\n")

    assert [(each.site.where, each.change) for each in made] == [
        ("", "1  ->  2"),
        ("A", "2  ->  3"),
        ("A.f", "return g(1, 1)  ->  return None"),
        ("A.f", "1  ->  2"),
        ("A.f", "1  ->  2 (2)"),
    ]
    assert [each.site.function for each in made] == [False, False, True, True, True]


def test_lines_to_run_are_those_of_the_statement_and_not_of_what_is_inside_it() -> None:
    [condition, inner] = of_text("def f():\n    if (a\n        < b):\n        c()\n")

    assert condition.site.lines == {2, 3}
    assert inner.site.lines == {4}


def test_what_is_bound_outside_functions_is_known_by_name() -> None:
    [size, default] = of_text("class A:\n    size: int = 2\ndef f(x=3): ...\n")

    assert size.site.names == {"A", "size"}
    assert default.site.names == {"f"}


@pytest.mark.parametrize("module", KNOWN)
def test_listed_survivors_are_mutants_and_say_why(module: str) -> None:
    made = list(mutants(ast.parse((DOMAIN / f"{module}.py").read_text())))

    assert len(listed(KNOWN[module], made)) == len(KNOWN[module])


@pytest.mark.parametrize(
    ("survivor", "complaint"),
    [
        (Survivor("2  ->  3", "any will do"), "no such mutant"),
        (Survivor("1  ->  2", "any will do"), "name one with where: f, g"),
        (Survivor("1  ->  2", "any will do", where="h"), "no such mutant"),
        (Survivor("1  ->  2", "", where="f"), "no reason"),
    ],
)
def test_list_that_fits_the_module_no_more_is_an_error(survivor: Survivor, complaint: str) -> None:
    made = of_text("def f():\n    x = 1\ndef g():\n    x = 1\n")

    with pytest.raises(ValueError, match=complaint):
        listed([survivor], made)
