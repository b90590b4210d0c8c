"""A wake-up call that can be awaited again and again."""

from __future__ import annotations

import anyio

__all__ = ["Signal"]


class Signal:
    """Wakes the one task that waits. Nothing is remembered: the waiter looks at the state before it waits."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event: anyio.Event | None = None

    def notify(self) -> None:
        """Wake the waiter, if there is one."""
        event = self._event
        if event is not None:
            self._event = None
            event.set()

    async def wait(self) -> None:
        """Return after the next ``notify``. At most one task waits at a time."""
        event = self._event = anyio.Event()
        try:
            await event.wait()
        finally:
            if self._event is event:
                self._event = None
