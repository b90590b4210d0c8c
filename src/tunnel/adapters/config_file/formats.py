"""The syntaxes a configuration file may be written in.

All refuse a key given twice: which of two values wins is nobody's intention. Errors are one line, say where, and repeat
nothing of the text but keys.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Hashable
from typing import Any, Final

import yaml

__all__ = ["MalformedText", "parse_json", "parse_toml", "parse_yaml"]

_TOML_PLACE: Final = re.compile(r"\s*\(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)$")
_TOO_DEEP: Final = "nested too deeply"


class MalformedText(Exception):
    """The text does not follow the syntax its file's ending promises."""


def parse_toml(text: str) -> object:
    """Parse TOML 1.0.

    Raises:
        MalformedText: Saying where.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        place = _TOML_PLACE.search(message)
        if place is None:
            raise MalformedText(f"malformed TOML: {_sentence(message)}") from error
        where = f"line {place['line']}, column {place['column']}" if place["line"] else "end of file"
        raise MalformedText(f"{where}: malformed TOML: {_sentence(message[: place.start()])}") from error
    except RecursionError as error:
        raise MalformedText(f"malformed TOML: {_TOO_DEEP}") from error


def parse_json(text: str) -> object:
    """Parse JSON (RFC 8259).

    Raises:
        MalformedText: Saying where; for a key given twice, which.
    """
    try:
        return json.loads(text, object_pairs_hook=_distinct, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise MalformedText(f"{where}: malformed JSON: {_sentence(error.msg)}") from error
    except RecursionError as error:
        raise MalformedText(f"malformed JSON: {_TOO_DEEP}") from error
    except ValueError as error:
        # Python refuses to convert integers of thousands of digits.
        raise MalformedText("malformed JSON: a number is too long") from error


def parse_yaml(text: str) -> object:
    """Parse one YAML 1.1 document of plain data. An empty document is an empty table.

    Raises:
        MalformedText: Saying where.
    """
    try:
        document = yaml.load(text, Loader=_DistinctLoader)  # noqa: S506 - a subclass of SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise MalformedText(f"{where}malformed YAML: {_sentence(error.problem or error.context or '')}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, int(error.position)) + 1
        raise MalformedText(f"line {line}: malformed YAML: {_sentence(str(error.reason))}") from error
    except RecursionError as error:
        raise MalformedText(f"malformed YAML: {_TOO_DEEP}") from error
    except ValueError as error:
        # Raised by PyYAML for scalars that look like a date or number and are none, ``2026-13-45``.
        raise MalformedText("malformed YAML: an unquoted value looks like a date or number but is none") from error
    return {} if document is None else document


def _sentence(message: str) -> str:
    words = " ".join(message.split())
    return words[:1].lower() + words[1:]


def _distinct(pairs: list[tuple[str, object]]) -> dict[str, object]:
    table: dict[str, object] = {}
    for key, value in pairs:
        if key in table:
            raise MalformedText(f"malformed JSON: the key {json.dumps(key)} is given twice in one table")
        table[key] = value
    return table


def _refuse_constant(name: str) -> object:
    raise MalformedText(f"malformed JSON: {name} is no JSON value")


class _DistinctLoader(yaml.SafeLoader):
    """Refuses keys that are given twice or are not text."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        if isinstance(node, yaml.MappingNode):
            self._check_keys(node)
        return super().construct_mapping(node, deep=deep)

    def _check_keys(self, node: yaml.MappingNode) -> None:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            if key.tag != "tag:yaml.org,2002:str":
                raise yaml.constructor.ConstructorError(None, None, "expected a text key; quote it", key.start_mark)
            if key.value in seen:
                problem = f"the key {json.dumps(key.value)} is given twice in one table"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(key.value)
