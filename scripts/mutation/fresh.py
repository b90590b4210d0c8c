"""Imports of one module, mutated, in a process that has loaded nothing of ``tunnel``."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, ModuleType

from mutation.tree import import_name

__all__ = ["import_mutated"]


def import_mutated(path: Path, code: CodeType) -> None:
    """Have ``code`` run where the module at ``path`` is imported from now on."""
    sys.meta_path.insert(0, _MutatedFinder(path, code))


class _MutatedLoader(importlib.abc.InspectLoader):
    def __init__(self, code: CodeType) -> None:
        self._code = code

    def get_code(self, fullname: str) -> CodeType:
        return self._code

    def get_source(self, fullname: str) -> None:
        return None


class _MutatedFinder(importlib.abc.MetaPathFinder):
    """Finds one module, mutated."""

    def __init__(self, path: Path, code: CodeType) -> None:
        self._name = import_name(path)
        self._path = path
        self._code = code

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        package = [str(self._path.parent)] if self._path.name == "__init__.py" else None
        spec = importlib.machinery.ModuleSpec(
            fullname, _MutatedLoader(self._code), origin=str(self._path), is_package=package is not None
        )
        if package is not None:
            spec.submodule_search_locations = package
        return spec
