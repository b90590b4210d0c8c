"""Whether several pieces may be given to a transport at once."""

from __future__ import annotations

import sys
from typing import Final

__all__ = ["WRITELINES_PAUSES", "writelines_pauses"]

_PAUSES_AGAIN: Final = {(3, 12): 9, (3, 13): 2}
"""The first release of each line that does, of those whose first did not."""


def writelines_pauses(version: tuple[int, int, int]) -> bool:
    """Whether ``writelines`` of asyncio's own transports tells the protocol to pause when it has taken too much.

    Where it does not, whoever writes by it goes on for ever when the peer does not read, and memory grows without
    bound; pieces have to be joined there, and written by ``write``. uvloop's transports are not concerned.

    Args:
        version: Of CPython: major, minor, micro.

    Source: CVE-2024-12254.
    """
    return version[2] >= _PAUSES_AGAIN.get(version[:2], 0)


WRITELINES_PAUSES: Final = writelines_pauses(sys.version_info[:3])
"""For the Python that runs; a flag, since calls in the way of every response are counted."""
