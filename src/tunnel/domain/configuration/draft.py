"""Makes the settings of one side of a whole configuration file, or tells all that is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol, TypeVar

import msgspec

from tunnel.domain.configuration.decoding import TableDecoder
from tunnel.domain.configuration.order import FileOrder
from tunnel.domain.configuration.planned import PlannedKeys
from tunnel.domain.findings import Findings

__all__ = ["Settings", "decode_settings"]


class Settings(Protocol):
    """All that one side is told."""

    def check(self, found: Findings) -> None:
        """Look for contradictions."""


C = TypeVar("C", bound=Settings)


def decode_settings(
    table: Mapping[str, object],
    kind: type[C],
    draft: type[C],
    planned: PlannedKeys,
    judges: Iterable[Callable[[C, Findings], None]] = (),
) -> C:
    """Make the settings of one side of the table that a configuration file holds.

    Args:
        table: As read from a file.
        kind: What to make; refuses contradictions when it is made.
        draft: A subclass that does not, to go on looking for mistakes in what cannot be used.
        planned: Keys that are not built yet.
        judges: Look for further mistakes: of what the settings point to. Those that are given are not to be kept.

    Raises:
        ConfigurationError: All that does not fit, in the order of the table.
    """
    found = Findings()
    settings: C | None = None
    assert issubclass(kind, msgspec.Struct)
    values = TableDecoder(planned, found).values(table, kind)
    if not found:
        with found:
            settings = kind(**values)
        if settings is None:
            settings = draft(**values)
    else:
        settings = draft(**values)
        with found:
            settings.check(found)
    for judge in judges:
        with found:
            judge(settings, found)
    if found:
        found.sort(FileOrder(table).place)
        found.tell()
    return settings
