"""Mutants of one module: its source with one operator, number or statement changed.

What is changed is what a careless edit changes: a bound that is off by one, a condition the other way round, a call
left out. Annotations, docstrings, text and ``__slots__`` are left alone, since no behaviour depends on them.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Mutant", "mutants"]

_OTHER_OPERATOR: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Break: ast.Continue,
    ast.Continue: ast.Break,
}

_NO_BEHAVIOUR = ("annotation", "returns", "decorator_list", "type_params", "bases")
_NAMES_WITHOUT_BEHAVIOUR = ("__all__", "__slots__")


@dataclass(frozen=True)
class Mutant:
    """One change, and the whole module with it.

    Args:
        line: Where it is.
        change: Before and after, as source.
        tree: What to compile.
    """

    line: int
    change: str
    tree: ast.Module

    def __str__(self) -> str:
        return f"{self.line}: {self.change}"


def mutants(source: str) -> Iterator[Mutant]:
    """Every mutant of ``source``, in the order of its lines."""
    tree = ast.parse(source)
    for path, node in sorted(_sites(tree, ()), key=lambda site: (site[1].lineno, site[1].col_offset)):
        for replacement in _replacements(node):
            mutated = copy.deepcopy(tree)
            _replace(mutated, path, ast.copy_location(replacement, node))
            ast.fix_missing_locations(mutated)
            yield Mutant(node.lineno, f"{_shown(node)}  ->  {_shown(replacement)}", mutated)


_Path = tuple[tuple[str, int | None], ...]


def _sites(node: ast.AST, path: _Path) -> Iterator[tuple[_Path, ast.expr | ast.stmt]]:
    if _is_type_checking(node) or _names_exports(node):
        return
    if isinstance(node, ast.expr | ast.stmt):
        yield path, node
    for name, value in ast.iter_fields(node):
        if name in _NO_BEHAVIOUR or (name == "keywords" and isinstance(node, ast.ClassDef)):
            # Among the latter is what makes values frozen, which the type checker sees to.
            continue
        if isinstance(value, ast.AST):
            yield from _sites(value, (*path, (name, None)))
        elif isinstance(value, list):
            for index, each in enumerate(value):
                if isinstance(each, ast.AST) and not _is_docstring(each):
                    yield from _sites(each, (*path, (name, index)))


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _names_exports(node: ast.AST) -> bool:
    return isinstance(node, ast.Assign) and any(
        isinstance(target, ast.Name) and target.id in _NAMES_WITHOUT_BEHAVIOUR for target in node.targets
    )


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _replacements(node: ast.expr | ast.stmt) -> Iterator[ast.expr | ast.stmt]:
    match node:
        case ast.Compare(ops=[operator]):
            yield _with(node, ops=[_OTHER_OPERATOR[type(operator)]()])
        case ast.BinOp(op=operator) | ast.AugAssign(op=operator) | ast.BoolOp(op=operator):
            other = _OTHER_OPERATOR.get(type(operator))
            # Of text and types the operators mean something else.
            if other is not None and not _is_type_union(node):
                yield _with(node, op=other())
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield operand
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value)):
            yield ast.Constant(value + 1)
        case ast.Constant(value=float(value)):
            yield ast.Constant(value * 2 + 1)
        case ast.Return(value=ast.expr() as value) if not isinstance(value, ast.Constant):
            yield ast.Return(ast.Constant(None))
        case ast.If(test=test) | ast.IfExp(test=test) | ast.While(test=test) if _is_plain(test):
            yield _with(node, test=ast.UnaryOp(ast.Not(), test))
        case ast.Expr(value=ast.Call()) | ast.Delete() | ast.Raise():
            yield ast.Pass()
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield ast.Pass()
        case ast.Break() | ast.Continue():
            yield _OTHER_OPERATOR[type(node)]()  # type: ignore[misc]
        case _:
            return


def _is_plain(test: ast.expr) -> bool:
    """Whether no other mutant turns this condition round."""
    if isinstance(test, ast.UnaryOp):
        return not isinstance(test.op, ast.Not)
    return not isinstance(test, ast.Compare | ast.BoolOp | ast.Constant)


def _is_type_union(node: ast.expr | ast.stmt) -> bool:
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr) and isinstance(node.right, ast.Name)


def _with(node: ast.expr | ast.stmt, **fields: object) -> ast.expr | ast.stmt:
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def _replace(tree: ast.Module, path: _Path, replacement: ast.AST) -> None:
    parent: ast.AST = tree
    *way, (name, index) = path
    for step, place in way:
        child = getattr(parent, step)
        parent = child if place is None else child[place]
    if index is None:
        setattr(parent, name, replacement)
    else:
        getattr(parent, name)[index] = replacement


def _shown(node: ast.AST) -> str:
    text = " ".join(ast.unparse(ast.fix_missing_locations(node)).split())
    return text if len(text) <= 100 else f"{text[:97]}..."
