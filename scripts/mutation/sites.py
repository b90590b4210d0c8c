"""Places in a module where a mutant may be made: what surrounds each, and which lines a test must run to notice."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, replace

__all__ = ["Site", "sites"]

_NO_BEHAVIOUR = ("annotation", "returns", "decorator_list", "type_params", "bases")
_NAMES_WITHOUT_BEHAVIOUR = ("__all__", "__slots__")
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)

_Path = tuple[tuple[str, int | None], ...]


@dataclass(frozen=True)
class Site:
    """One expression or statement of a module.

    Args:
        node: What is there.
        path: The way from the module to it, as fields and places in lists.
        where: Qualified name of the function or class around it; empty at the level of the module.
        function: Whether it is in the body of a function, which can be replaced in a module that is loaded.
        names: Outside functions: what is bound there. Whatever mentions one of them may depend on it.
        lines: A test that runs none of these cannot notice a change here.
    """

    node: ast.expr | ast.stmt
    path: _Path
    where: str
    function: bool
    names: frozenset[str]
    lines: frozenset[int]

    def put(self, tree: ast.Module, replacement: ast.AST) -> None:
        """Replace what is here in ``tree``, which is the module or a copy of it."""
        parent: ast.AST = tree
        *way, (name, index) = self.path
        for step, place in way:
            child = getattr(parent, step)
            parent = child if place is None else child[place]
        if index is None:
            setattr(parent, name, replacement)
        else:
            getattr(parent, name)[index] = replacement


@dataclass(frozen=True)
class _Surroundings:
    path: _Path = ()
    where: str = ""
    function: bool = False
    names: frozenset[str] = frozenset()
    header: frozenset[int] = frozenset()


def sites(tree: ast.Module) -> list[Site]:
    """Every place of the module on which behaviour may depend, in the order of its lines."""
    return sorted(_sites(tree, _Surroundings()), key=lambda site: (site.node.lineno, site.node.col_offset))


def _sites(node: ast.AST, around: _Surroundings) -> Iterator[Site]:
    if _is_type_checking(node) or _names_exports(node) or _asserts_lengths(node):
        return
    if isinstance(node, ast.stmt):
        around = replace(around, header=_header(node))
        if not around.function:
            around = replace(around, names=around.names | _bound(node))
    if isinstance(node, ast.expr | ast.stmt):
        lines = around.header
        if isinstance(node, ast.expr):
            lines |= frozenset(range(node.lineno, (node.end_lineno or node.lineno) + 1))
        yield Site(node, around.path, around.where, around.function, around.names, lines)
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        around = replace(around, where=f"{around.where}.{node.name}" if around.where else node.name)
    for name, value in ast.iter_fields(node):
        if name in _NO_BEHAVIOUR or (name == "keywords" and isinstance(node, ast.ClassDef)):
            # Among the latter is what makes values frozen, which the type checker sees to.
            continue
        inner = around
        if name == "body" and isinstance(node, _FUNCTIONS):
            inner = replace(around, function=True, names=frozenset())
        if isinstance(value, ast.AST):
            yield from _sites(value, replace(inner, path=(*around.path, (name, None))))
        elif isinstance(value, list):
            for index, each in enumerate(value):
                if isinstance(each, ast.AST) and not _is_docstring(each):
                    yield from _sites(each, replace(inner, path=(*around.path, (name, index))))


def _header(statement: ast.stmt) -> frozenset[int]:
    """Lines of the statement, without those of statements inside it."""
    first: int = statement.lineno
    last = statement.end_lineno or first
    match statement:
        case ast.Match(cases=[case, *_]):
            last = case.pattern.lineno - 1
        case (
            ast.If(body=[inner, *_])
            | ast.For(body=[inner, *_])
            | ast.While(body=[inner, *_])
            | ast.With(body=[inner, *_])
            | ast.Try(body=[inner, *_])
            | ast.FunctionDef(body=[inner, *_])
            | ast.ClassDef(body=[inner, *_])
        ):
            last = inner.lineno - 1
        case _:
            pass
    return frozenset(range(first, max(first, last) + 1))


def _bound(statement: ast.stmt) -> frozenset[str]:
    match statement:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return frozenset({name})
        case ast.Assign(targets=targets):
            bound = targets
        case ast.AnnAssign(target=target) | ast.AugAssign(target=target) | ast.For(target=target):
            bound = [target]
        case _:
            return frozenset()
    return frozenset(each.id for target in bound for each in ast.walk(target) if isinstance(each, ast.Name))


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _names_exports(node: ast.AST) -> bool:
    return isinstance(node, ast.Assign) and any(
        isinstance(target, ast.Name) and target.id in _NAMES_WITHOUT_BEHAVIOUR for target in node.targets
    )


def _asserts_lengths(node: ast.AST) -> bool:
    """Whether this is ``strict`` of ``zip``, which says what is so and changes nothing."""
    return isinstance(node, ast.keyword) and node.arg == "strict"


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
