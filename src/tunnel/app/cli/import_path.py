"""Where commands find the modules that targets name."""

from __future__ import annotations

import sys

__all__ = ["import_from_working_directory"]


def import_from_working_directory() -> None:
    """Look for modules in the working directory first, as ``python -m`` does, and uvicorn and gunicorn do.

    Only for commands: a library leaves the path as its program has it.
    """
    if "" not in sys.path:
        sys.path.insert(0, "")
