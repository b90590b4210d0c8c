"""Descriptions of fields in a schema, taken from where they are written: the ``Args`` of a docstring."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["described"]

_ARGS: Final = re.compile(r"\n\s*Args:\n")
_FIELD: Final = re.compile(r"\s*(\w+): ")


def described(schemas: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """``schemas`` with the description of each field at the field.

    Args:
        schemas: By name of their type; a description is the whole docstring of the type.
    """
    return {name: _described(schema) for name, schema in schemas.items()}


def _described(schema: dict[str, Any]) -> dict[str, Any]:
    summary, *arguments = _ARGS.split(schema.get("description", ""), maxsplit=1)
    words = _words(arguments[0].splitlines()) if arguments else {}
    properties = {
        name: {**kind, "description": words.get(name, "")} for name, kind in schema.get("properties", {}).items()
    }
    return {**schema, "description": " ".join(summary.split()), "properties": properties}


def _words(lines: list[str]) -> dict[str, str]:
    words: dict[str, str] = {}
    name, indent = "", len(lines[0]) - len(lines[0].lstrip()) if lines else 0
    for line in lines:
        begins = _FIELD.match(line) if len(line) - len(line.lstrip()) == indent else None
        if begins is not None:
            name = begins[1]
            words[name] = line[begins.end() :]
        elif name and line.strip():
            words[name] = f"{words[name]} {line.strip()}"
    return words
