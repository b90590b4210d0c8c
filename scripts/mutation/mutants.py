"""Mutants of one module: its source with one operator, number or statement changed.

What is changed is what a careless edit changes: a bound that is off by one, a condition the other way round, a call
left out. Annotations, docstrings, text and ``__slots__`` are left alone, since no behaviour depends on them.
"""

from __future__ import annotations

import ast
import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from mutation.sites import Site, sites

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


@dataclass(frozen=True)
class Mutant:
    """One change of a module.

    Args:
        site: Where it is.
        change: Before and after, as source. Of several changes of one function that read the same, those after the
            first say which they are: ``0  ->  1 (2)``.
        replacement: What is put there.
    """

    site: Site
    change: str
    replacement: ast.expr | ast.stmt

    @property
    def line(self) -> int:
        return self.site.node.lineno

    def __str__(self) -> str:
        return f"{self.line}: {self.site.where or 'module'}: {self.change}"

    def change_tree(self, tree: ast.Module) -> ast.Module:
        """Make the change in ``tree``, which is the module as it was parsed, or a copy of it."""
        self.site.put(tree, self.replacement)
        return tree


def mutants(tree: ast.Module) -> Iterator[Mutant]:
    """Every mutant of the module, in the order of its lines."""
    seen: Counter[tuple[str, str]] = Counter()
    for site in sites(tree):
        for made in _replacements(site.node):
            # Parts of it are parts of the tree.
            replacement = ast.fix_missing_locations(ast.copy_location(copy.deepcopy(made), site.node))
            change = f"{_shown(site.node)}  ->  {_shown(replacement)}"
            seen[site.where, change] += 1
            number = seen[site.where, change]
            yield Mutant(site, change if number == 1 else f"{change} ({number})", replacement)


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


def _shown(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 100 else f"{text[:97]}..."
