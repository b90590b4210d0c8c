"""Environments in which no web framework is installed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

__all__ = ["ABSENT", "without_frameworks"]

ABSENT: Final = Path(__file__).with_name("absent")
"""Searched for modules before all else, says of each framework that it is not there."""

_NAMES: Final = re.compile("|".join(("fastapi", "flask", *(each.stem for each in ABSENT.glob("*.py")))))


def without_frameworks(environment: Mapping[str, str], sources: Iterable[str] = ()) -> dict[str, str]:
    """An environment whose programs find no web framework, unless ``sources`` name one.

    The tests have some installed. Users and readers need not; and where one is, dependency-injector imports it for its
    own support of it, which takes nearly as long as all else that a server imports.
    """
    if any(_NAMES.search(source.lower()) for source in sources):
        return dict(environment)
    searched = [str(ABSENT), *filter(None, [environment.get("PYTHONPATH")])]
    return {**environment, "PYTHONPATH": os.pathsep.join(searched)}
