"""Where in a configuration file a key stands, so that mistakes are told from its beginning to its end."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Final

__all__ = ["FileOrder"]

_SEGMENT: Final = re.compile(r"""\[([0-9]+)\]|\.?(?:("(?:[^"\\]|\\.)*")|([A-Za-z0-9_-]+))""")


class FileOrder:
    """Orders key paths as the keys stand in a table.

    A key that is not there stands where the table begins that it is missing from; a table that the file opens several
    times stands where it is opened first.

    Args:
        table: As read from a file.
        at: Where it stands itself.
    """

    def __init__(self, table: object, at: Iterable[str | int] = ()) -> None:
        for key in reversed([*at]):
            table = {key: table}
        self._table = table
        # By identity, of tables that this keeps alive.
        self._places: dict[int, dict[str, int]] = {}

    def place(self, key_path: str) -> tuple[int, ...]:
        """Of a key: the smaller, the nearer to the beginning."""
        found: list[int] = []
        inner = self._table
        for index, quoted, bare in _SEGMENT.findall(key_path):
            key = json.loads(quoted) if quoted else bare
            if isinstance(inner, list) and index and int(index) < len(inner):
                place, inner = int(index), inner[int(index)]
            elif isinstance(inner, dict) and key in inner:
                place, inner = self._of(inner)[key], inner[key]
            else:
                break
            found.append(place)
        return tuple(found)

    def _of(self, table: dict[str, object]) -> dict[str, int]:
        places = self._places.get(id(table))
        if places is None:
            places = self._places[id(table)] = {key: place for place, key in enumerate(table)}
        return places
