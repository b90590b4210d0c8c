"""Ports that a page names, exchanged for ports that are free here."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from support.ports import unused_port

__all__ = ["PagePorts"]

_NAMED: Final = re.compile(r"(?:127\.0\.0\.1|0\.0\.0\.0|localhost|\[::1?\]):(\d{4,5})\b|\bhttp\.server (\d{4,5})\b")


class PagePorts:
    """Another port for each that is written behind an address of this machine, or ``http.server``.

    Wherever such a number stands by itself it is exchanged, so ``--port 3000`` follows ``127.0.0.1:3000``.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        named = sorted({found[1] or found[2] for text in texts for found in _NAMED.finditer(text)})
        self._free: Final[dict[str, str]] = {}
        for port in named:
            while (free := str(unused_port())) in self._free.values():
                pass
            self._free[port] = free
        self._numbers: Final = re.compile(rf"(?<![\w.])(?:{'|'.join(named)})(?![\w])") if named else None

    def exchanged(self, text: str) -> str:
        """``text`` with the ports that are used here."""
        return self._numbers.sub(lambda found: self._free[found[0]], text) if self._numbers else text
