"""The pace of a target that says much to an ASGI server which never makes it wait."""

from __future__ import annotations

from typing import Final

from anyio.lowlevel import checkpoint

__all__ = ["Pace"]

_MESSAGES: Final = 64
"""Between two turns: few enough that nobody waits for long, and so many that the turns cost next to nothing."""


class Pace:
    """Counts messages, and lets everybody else run now and then.

    ASGI servers take messages for a visitor that has left without a word, and need not wait for anything. Then a target
    that goes on sending would never let the event loop run, and nobody could tell it that it is to stop.
    """

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = _MESSAGES

    async def keep(self) -> None:
        """Before a message. Cancelled, it is not to be sent."""
        self._left -= 1
        if not self._left:
            self._left = _MESSAGES
            await checkpoint()
