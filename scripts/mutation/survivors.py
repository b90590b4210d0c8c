"""Mutants that are known to survive, and why: ``tests/mutation/survivors.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mutation.mutants import Mutant

__all__ = ["Survivor", "known", "listed"]


@dataclass(frozen=True)
class Survivor:
    """A mutant that no unit test notices.

    Args:
        change: As the report shows it.
        reason: Why that may be so.
        where: The function or class, as the report shows it; None where the module has one such change.
    """

    change: str
    reason: str
    where: str | None = None


def known(path: Path) -> dict[str, list[Survivor]]:
    """Known survivors by module."""
    return {
        module: [Survivor(**entry) for entry in entries] for module, entries in tomllib.loads(path.read_text()).items()
    }


def listed(survivors: Sequence[Survivor], mutants: Sequence[Mutant]) -> dict[int, Survivor]:
    """Which of a module's mutants are listed.

    Raises:
        ValueError: An entry is no mutant of the module, or may be several.
    """
    found: dict[int, Survivor] = {}
    for survivor in survivors:
        places = [
            number
            for number, mutant in enumerate(mutants)
            if mutant.change == survivor.change and survivor.where in (None, mutant.site.where)
        ]
        if not places:
            raise ValueError(f"no such mutant any more: {survivor.change!r} in {survivor.where}")
        if len(places) > 1:
            wheres = ", ".join(sorted(mutants[number].site.where for number in places))
            raise ValueError(f"several mutants are {survivor.change!r}; name one with where: {wheres}")
        if not survivor.reason:
            raise ValueError(f"no reason is given for {survivor.change!r}")
        found[places[0]] = survivor
    return found
