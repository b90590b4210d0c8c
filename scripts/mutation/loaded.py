"""Functions of the domain as they are in this process, and other code put in their place."""

from __future__ import annotations

import ast
import gc
from collections.abc import Iterator
from functools import _lru_cache_wrapper
from inspect import CO_NEWLOCALS
from types import CodeType, FunctionType

from mutation.mutants import Mutant
from mutation.tree import DOMAIN

__all__ = ["CachedFunctions", "LoadedFunctions"]

#: File, qualified name, first line.
_Key = tuple[str, str, int]


class LoadedFunctions:
    """Every function object whose code comes from the domain: methods, those of properties, those kept in tables."""

    def __init__(self) -> None:
        self._functions: dict[_Key, list[FunctionType]] = {}
        for each in _loaded():
            if isinstance(each, FunctionType) and each.__code__.co_filename.startswith(str(DOMAIN)):
                self._functions.setdefault(_key(each.__code__), []).append(each)

    def replace(self, original: CodeType, mutant: Mutant, tree: ast.Module) -> bool:
        """Give the functions that the mutant changes their other code; false when they are not to be found.

        Args:
            original: The module's code.
            mutant: In the body of a function.
            tree: The module; it is changed.
        """
        mutated = compile(mutant.change_tree(tree), original.co_filename, "exec")
        unchanged = {_key(code): code for code in _codes(original)}
        replaced = False
        for code in _codes(mutated):
            if code == unchanged.get(_key(code)):
                continue
            for function in self._functions.get(_key(code), ()):
                if len(function.__code__.co_freevars) != len(code.co_freevars):
                    return False
                function.__code__ = code
                replaced = True
        return replaced


class CachedFunctions:
    """Functions of the domain that remember results, which may come from what a mutant replaces."""

    def __init__(self) -> None:
        self._functions = [
            each
            for each in _loaded()
            if isinstance(each, _lru_cache_wrapper) and each.__wrapped__.__module__.startswith("tunnel.domain")
        ]

    def clear(self) -> None:
        for function in self._functions:
            function.cache_clear()


def _loaded() -> list[object]:
    # What the tests' own hook has frozen is in no list of the collector's.
    gc.unfreeze()
    return gc.get_objects()


def _key(code: CodeType) -> _Key:
    return code.co_filename, code.co_qualname, code.co_firstlineno


def _codes(code: CodeType) -> Iterator[CodeType]:
    """Code of the functions in it, however deep."""
    for each in code.co_consts:
        if isinstance(each, CodeType):
            if each.co_flags & CO_NEWLOCALS:
                yield each
            yield from _codes(each)
