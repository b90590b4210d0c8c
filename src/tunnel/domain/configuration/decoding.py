"""Turns the tables of a configuration file into settings, and says exactly where they do not fit.

msgspec's own errors leave out the keys of tables (``$.groups[...].rules[0]``), so tables are walked here, guided by
msgspec's description of the types.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from tunnel.domain.configuration.key_places import belongs
from tunnel.domain.configuration.middleware import MiddlewareSettings, middleware_settings
from tunnel.domain.configuration.mistakes import (
    alternatives,
    close_name,
    key_path,
    mistake,
    not_built,
    suggestion,
)
from tunnel.domain.configuration.order import FileOrder
from tunnel.domain.configuration.planned import KeyPath, PlannedKeys
from tunnel.domain.configuration.secret import Secret
from tunnel.domain.errors import ConfigurationError
from tunnel.domain.findings import UNJUDGED, Findings

__all__ = ["TableDecoder", "decode_table"]

S = TypeVar("S", bound=msgspec.Struct)


def decode_table(table: object, kind: type[S], planned: PlannedKeys, *, at: KeyPath = ()) -> S:
    """Make a ``kind`` of plain tables, lists and scalars.

    Unknown keys are refused; planned ones with their own message. Values of ``Secret`` fields are never in an error.

    Args:
        table: As read from a file.
        kind: What to make.
        planned: Keys that are not built yet.
        at: Where the table stands; empty for a whole file.

    Raises:
        ConfigurationError: All that does not fit, in the order of the table.
    """
    found = Findings()
    settings = TableDecoder(planned, found).decode(table, kind, at)
    if found:
        found.sort(FileOrder(table, at).place)
        found.tell()
    assert isinstance(settings, kind)
    return settings


@cache
def _described(kind: type[msgspec.Struct]) -> inspect.StructType:
    described = inspect.type_info(kind)
    assert isinstance(described, inspect.StructType)
    return described


class TableDecoder:
    """Reads tables, guided by the description of what is to be made of them.

    Args:
        planned: Keys that are not built yet.
        found: Takes the mistakes.
    """

    def __init__(self, planned: PlannedKeys, found: Findings) -> None:
        self._planned = planned
        self._found = found
        self._whole: type[msgspec.Struct] | None = None

    def values(self, table: object, kind: type[msgspec.Struct]) -> dict[str, Any]:
        """What a ``kind`` can be made of, by name; what could not be read is there, as ``UNJUDGED``.

        Args:
            table: A whole file, in which keys may stand in the wrong table.
            kind: Its settings.

        Raises:
            ConfigurationError: This is no table at all.
        """
        self._whole = kind
        return self._fields(_table(table, ()), _described(kind), ())

    def decode(self, table: object, kind: type[msgspec.Struct], at: KeyPath) -> Any:
        """A ``kind``, or ``UNJUDGED``."""
        return self._value_at(table, _described(kind), at)

    def _fields(self, table: Mapping[str, object], kind: inspect.StructType, path: KeyPath) -> dict[str, Any]:
        fields = {field.encode_name: field for field in kind.fields}
        values: dict[str, Any] = {}
        # What a misspelt key is meant for is not missing, and what it says shows when it is spelt as it should be.
        misspelt = {close_name(key, fields) for key in self._unknown(table, fields, path)}
        for name, field in fields.items():
            if name in table:
                values[field.name] = self._value_at(table[name], field.type, (*path, name))
            elif name in misspelt:
                values[field.name] = self._found.unjudged(key_path(*path, name))
            elif field.required:
                # A key that looks like none of them may be meant for any.
                if None not in misspelt:
                    error = ConfigurationError(f'missing the required key "{name}"', key_path=key_path(*path))
                    self._found.add(error)
                values[field.name] = self._found.unjudged(key_path(*path, name))
        return values

    def _struct(self, value: object, kind: inspect.StructType, path: KeyPath) -> Any:
        values = self._fields(_table(value, path), kind, path)
        if hasattr(kind.cls, "__post_init__") and any(each is UNJUDGED for each in values.values()):
            return UNJUDGED
        return kind.cls(**values)

    def _value_at(self, value: object, kind: inspect.Type, path: KeyPath) -> Any:
        # Not a block of ``found``: those cost as much as most values do.
        try:
            match kind:
                case inspect.StructType(cls=cls) if cls is MiddlewareSettings:
                    return middleware_settings(_table(value, path), key_path(*path))
                case inspect.StructType():
                    return self._struct(value, kind, path)
                case inspect.UnionType(types=types):
                    return self._one_of(value, types, path)
                case inspect.VarTupleType(item_type=item):
                    items = _list(value, path, of_tables=isinstance(item, inspect.StructType))
                    return tuple(self._value_at(each, item, (*path, index)) for index, each in enumerate(items))
                case inspect.DictType(value_type=item):
                    return {key: self._value_at(each, item, (*path, key)) for key, each in _table(value, path).items()}
                case inspect.CustomType(cls=cls) if cls is Secret:
                    return _secret(value, path)
                case _:
                    return _scalar(value, kind, path)
        except ConfigurationError as error:
            self._found.add(error)
        return self._found.unjudged(key_path(*path))

    def _one_of(self, value: object, types: tuple[inspect.Type, ...], path: KeyPath) -> Any:
        # Unions here are of None with something, or of a string with a table.
        present = [each for each in types if not isinstance(each, inspect.NoneType)]
        if value is None and len(present) < len(types):
            return None
        if len(present) == 1:
            return self._value_at(value, present[0], path)
        if isinstance(value, dict):
            return self._struct(value, next(each for each in present if isinstance(each, inspect.StructType)), path)
        if not isinstance(value, str):
            raise mistake(key_path(*path), "a string or a table", got=value)
        return value

    def _unknown(self, table: Mapping[str, object], known: Mapping[str, object], path: KeyPath) -> list[str]:
        """The keys of ``table`` that are misspelt, which are refused, as are those that are planned."""
        misspelt = []
        for key in table:
            if key in known:
                continue
            where = key_path(*path, key)
            if (*path, key) in self._planned:
                self._found.add(not_built(where))
                continue
            misspelt.append(key)
            hint = suggestion(key, known)
            if not hint and self._whole is not None:
                hint = belongs(key, self._whole, at_top=not path)
            text = f"unknown key; expected {alternatives(sorted(known))}{hint}"
            self._found.add(ConfigurationError(text, key_path=where))
        return misspelt


def _table(value: object, path: KeyPath) -> dict[str, object]:
    if not isinstance(value, dict):
        raise mistake(key_path(*path), "a table", got=value)
    return value


def _list(value: object, path: KeyPath, *, of_tables: bool) -> list[object]:
    if isinstance(value, list):
        return value
    header = ".".join(each for each in path if isinstance(each, str))
    expected = f"a list, whose elements begin with [[{header}]]" if of_tables and isinstance(value, dict) else "a list"
    raise mistake(key_path(*path), expected, got=value)


def _secret(value: object, path: KeyPath) -> Secret:
    if not isinstance(value, str):
        raise mistake(key_path(*path), "a string")
    return Secret(value)


def _scalar(value: object, kind: inspect.Type, path: KeyPath) -> object:
    match kind:
        case inspect.StrType():
            if isinstance(value, str):
                return value
            expected = "a string"
        case inspect.BoolType():
            if isinstance(value, bool):
                return value
            expected = "true or false"
        case inspect.IntType():
            if isinstance(value, int) and not isinstance(value, bool) and _within(value, kind):
                return value
            expected = f"an integer{_range(kind)}"
        case inspect.FloatType():
            if isinstance(value, int | float) and not isinstance(value, bool) and _within(value, kind):
                return float(value)
            expected = f"a number{_range(kind)}"
        case inspect.LiteralType(values=values):
            if isinstance(value, str) and value in values:
                return value
            expected = alternatives(str(each) for each in values)
        case _:
            raise AssertionError(f"{kind} is no type of a setting")
    raise mistake(key_path(*path), expected, got=value)


def _within(value: float, kind: inspect.IntType | inspect.FloatType) -> bool:
    return (
        math.isfinite(value)
        and (kind.gt is None or value > kind.gt)
        and (kind.ge is None or value >= kind.ge)
        and (kind.le is None or value <= kind.le)
    )


def _range(kind: inspect.IntType | inspect.FloatType) -> str:
    if kind.ge is not None and kind.le is not None:
        return f" from {kind.ge} to {kind.le}"
    if kind.gt is not None and kind.le is not None:
        return f" above {kind.gt} and up to {kind.le}"
    return f" of at least {kind.ge}" if kind.ge is not None else ""
