"""Lines of the domain that mention a name, for what is bound outside functions."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mutation.coverage import Line
from mutation.sites import sites

__all__ = ["Mentions"]


@dataclass
class Mentions:
    """Where names are read. What depends on a constant is found by its name, and what depends on that in turn."""

    _lines: dict[str, set[Line]] = field(default_factory=dict)
    _names: dict[str, set[str]] = field(default_factory=dict)

    def add(self, path: Path, tree: ast.Module) -> None:
        """Note what the module mentions."""
        for site in sites(tree):
            match site.node:
                case ast.Name(id=name) | ast.Attribute(attr=name):
                    if site.function:
                        self._lines.setdefault(name, set()).update((str(path), line) for line in site.lines)
                    else:
                        self._names.setdefault(name, set()).update(site.names)
                case _:
                    pass
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                # What is decoded into a class is what its fields are annotated with.
                fields = [each.annotation for each in node.body if isinstance(each, ast.AnnAssign)]
                for name in _read_in([*node.bases, *fields]):
                    self._names.setdefault(name, set()).add(node.name)

    def of(self, names: Iterable[str]) -> set[Line]:
        """Lines in functions that depend on one of the names."""
        found: set[Line] = set()
        met = set(names)
        following = list(met)
        while following:
            name = following.pop()
            found |= self._lines.get(name, set())
            more = self._names.get(name, set()) - met
            met |= more
            following += more
        return found


def _read_in(expressions: Iterable[ast.expr]) -> Iterator[str]:
    for expression in expressions:
        for node in ast.walk(expression):
            match node:
                case ast.Name(id=name) | ast.Attribute(attr=name):
                    yield name
                case _:
                    pass
