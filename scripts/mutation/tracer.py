"""Lines of the domain that run, in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

from mutation.coverage import Line
from mutation.tree import DOMAIN

__all__ = ["Tracer"]


class Tracer:
    """Notes the lines of the domain that run between ``begin`` and ``end``."""

    def __init__(self) -> None:
        self._inside = str(DOMAIN)
        self._of_code: dict[CodeType, set[int]] = {}
        self._left: dict[CodeType, set[int]] = {}

    def begin(self) -> None:
        self._left = {}
        sys.settrace(self._entered)

    def end(self) -> frozenset[Line]:
        sys.settrace(None)
        return frozenset(
            (code.co_filename, line) for code, left in self._left.items() for line in self._of_code[code] - left
        )

    def _entered(self, frame: FrameType, _event: str, _argument: object) -> Callable[..., Any] | None:
        code = frame.f_code
        left = self._left.get(code)
        if left is None:
            if not code.co_filename.startswith(self._inside):
                return None
            lines = self._of_code.setdefault(code, {line for _, _, line in code.co_lines() if line})
            left = self._left[code] = set(lines)
            left.discard(code.co_firstlineno)
        if not left:
            # All of it has been seen to run in this test.
            return None

        def ran(frame: FrameType, event: str, _argument: object) -> Callable[..., Any]:
            if event == "line":
                left.discard(frame.f_lineno)
            return ran

        return ran
