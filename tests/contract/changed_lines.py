"""By how many lines a mutant differs from its twin.

1. A mutant's own code is what its row of ``MUTANTS`` refers to: classes and functions of its module, and what these
   refer to in turn. What ``TWINS`` and ``VIRTUAL_TWINS`` refer to is the twin's, and no part of a mistake.
2. Of a method that takes the place of another, the lines count that the other has not; or those that it had and this
   has not, where they are more. One that calls the other by ``super`` keeps it, and all of its own lines count. A
   method, function or attribute in nobody's place counts with all its lines.
3. Docstrings, comments, empty lines, and the lines that only name what is replaced (``class``, and ``def`` of a method)
   are no behaviour.

So it is what a diff would show, had the mistake been made in the twin itself.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections import Counter
from collections.abc import Iterator
from types import ModuleType
from typing import TypeAlias

__all__ = ["changed_lines"]

Definition: TypeAlias = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
Method: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


def changed_lines(module: ModuleType, name: str) -> int:
    """How many lines make the mutant of that name out of its twin.

    Args:
        module: Where it is, with ``MUTANTS`` and ``TWINS``.
        name: Of the mutant.
    """
    source = inspect.getsource(module)
    tree = ast.parse(source)
    definitions = {each.name: each for each in tree.body if isinstance(each, Definition)}
    twins = _reached(_assigned(tree, "TWINS"), definitions)
    if hasattr(module, "VIRTUAL_TWINS"):
        twins |= _reached(_assigned(tree, "VIRTUAL_TWINS"), definitions)
    own: set[str] = (
        set().union(*(_reached(each, definitions) for each in _row(_assigned(tree, "MUTANTS"), name))) - twins
    )
    lines = source.splitlines()
    return sum(_lines_of(definitions[each], lines, getattr(module, each)) for each in own)


def _assigned(tree: ast.Module, name: str) -> ast.expr:
    for each in tree.body:
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name) and each.target.id == name:
            assert each.value is not None
            return each.value
    raise AssertionError(f"there is no {name}: Final = ...")


def _row(mutants: ast.expr, name: str) -> list[ast.AST]:
    """What stands in one tuple or call with the name of the mutant."""
    holding = [
        node
        for node in ast.walk(mutants)
        if isinstance(node, ast.Tuple | ast.Call)
        and any(isinstance(each, ast.Constant) and each.value == name for each in ast.iter_child_nodes(node))
    ]
    assert len(holding) == 1, f"{name} is in MUTANTS {len(holding)} times"
    (row,) = holding
    return [*row.elts] if isinstance(row, ast.Tuple) else [*row.args, *row.keywords]


def _reached(node: ast.AST, definitions: dict[str, Definition]) -> set[str]:
    """Names of the definitions that ``node`` refers to, and so on."""
    reached: set[str] = set()
    todo: list[ast.AST] = [node]
    while todo:
        for each in ast.walk(todo.pop()):
            if isinstance(each, ast.Name) and each.id in definitions and each.id not in reached:
                reached.add(each.id)
                todo.append(definitions[each.id])
    return reached


def _lines_of(definition: Definition, lines: list[str], made: object) -> int:
    if not isinstance(definition, ast.ClassDef):
        return len(_code(definition, lines)) + 1
    assert isinstance(made, type)
    changed = 0
    for each in _without_docstrings(definition.body):
        if isinstance(each, Method):
            changed += _changed(each, _code(each, lines), _replaced(made, each.name))
        else:
            changed += each.end_lineno - each.lineno + 1  # type: ignore[operator]
    return changed


def _changed(method: Method, code: list[str], replaced: list[str] | None) -> int:
    if replaced is None:
        return len(code) + 1
    if f"super().{method.name}" in " ".join(code):
        return len(code)
    here, there = Counter(code), Counter(replaced)
    return max((here - there).total(), (there - here).total())


def _replaced(made: type, name: str) -> list[str] | None:
    """The code of the method in whose place another is; None when there is none."""
    for each in made.__mro__[1:]:
        if name in vars(each):
            method = vars(each)[name]
            method = getattr(method, "fget", method)
            if not inspect.isfunction(method):
                return None
            source = textwrap.dedent(inspect.getsource(method))
            (definition,) = ast.parse(source).body
            return _code(definition, source.splitlines()) if isinstance(definition, Method) else None
    return None


def _code(definition: Method, lines: list[str]) -> list[str]:
    """The lines of the body that do something."""
    numbers = [number for each in _without_docstrings(definition.body) for number in _numbers(each)]
    code = (lines[number - 1].partition("  #")[0].strip() for number in numbers)
    return [line for line in code if line and not line.startswith("#")]


def _numbers(statement: ast.stmt) -> Iterator[int]:
    docstrings = {
        number
        for each in ast.walk(statement)
        if isinstance(each, Definition) and ast.get_docstring(each) is not None
        for number in range(each.body[0].lineno, each.body[0].end_lineno + 1)  # type: ignore[operator]
    }
    first = min([statement.lineno, *(each.lineno for each in getattr(statement, "decorator_list", ()))])
    return (number for number in range(first, statement.end_lineno + 1) if number not in docstrings)  # type: ignore[operator]


def _without_docstrings(body: list[ast.stmt]) -> list[ast.stmt]:
    return [each for each in body if not (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant))]
