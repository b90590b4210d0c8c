"""What a process holds that must be given back: tasks, threads, descriptors."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import anyio

__all__ = ["Holdings", "left_behind"]

_DESCRIPTORS = "/dev/fd"
"""Lists the open descriptors of the process that reads it, on Linux and macOS."""

_LOOK_AGAIN_S = 0.01
"""Until a second look; each further one comes after twice the time, since collecting garbage takes long."""

_USES = 4
"""How often something may leave anything behind: libraries keep what they make once, and pools of threads grow by one
now and then, but what leaks does so each time."""


@dataclass(frozen=True)
class Holdings:
    """What was held at one moment.

    Args:
        tasks: Ids of the tasks of the running event loop.
        threads: Ids of threads.
        descriptors: Open descriptors, with what they stood for; empty where the system does not tell.
    """

    tasks: frozenset[int]
    threads: frozenset[int]
    descriptors: frozenset[tuple[int, str]]

    @classmethod
    def now(cls) -> Holdings:
        """What is held now. The event loop's own threads and descriptors are among it."""
        return cls(
            frozenset(task.id for task in anyio.get_running_tasks()),
            frozenset(thread.ident or 0 for thread in threading.enumerate()),
            frozenset(_descriptors()),
        )

    def __sub__(self, before: Holdings) -> list[str]:
        """What is held beyond ``before``, in words."""
        named = {task.id: task.name for task in anyio.get_running_tasks()}
        # A library may end one of its standing tasks and begin another: only more than there were are too many.
        tasks = self.tasks - before.tasks if len(self.tasks) > len(before.tasks) else frozenset()
        return [
            *(f"task {named.get(each, each)}" for each in tasks),
            *(f"thread {each}" for each in self.threads - before.threads),
            *(f"descriptor {number} {what}" for number, what in sorted(self.descriptors - before.descriptors)),
        ]

    def opened_since(self, before: Holdings) -> list[str]:
        """What the descriptors stand for that were not open ``before``."""
        return [what for _, what in sorted(self.descriptors - before.descriptors)]

    async def beyond(self, *, patience_s: float) -> list[str]:
        """What is still held beyond this after ``patience_s`` seconds; returns at once when it is nothing.

        What nothing refers to but itself is collected, since libraries have cycles of their own.
        """
        with anyio.move_on_after(patience_s):
            again_s = _LOOK_AGAIN_S
            # Nothing tells when a descriptor is closed.
            while Holdings.now() - self:
                gc.collect()
                await anyio.sleep(again_s)
                again_s *= 2
        return Holdings.now() - self


async def left_behind(use: Callable[[], Awaitable[None]], *, patience_s: float) -> list[str]:
    """What ``use`` leaves behind whenever it is called, in words; nothing if there was a time when it left nothing.

    Args:
        use: Makes something, uses it and gives it back.
        patience_s: Seconds that the system has to take back what was released, the last time; before, less.
    """
    left: list[str] = []
    for number in reversed(range(_USES)):
        before = Holdings.now()
        await use()
        left = await before.beyond(patience_s=patience_s if number == 0 else patience_s / 10)
        if not left:
            break
    return left


def _descriptors() -> list[tuple[int, str]]:
    found = []
    for name in os.listdir(_DESCRIPTORS) if os.path.isdir(_DESCRIPTORS) else ():
        try:
            found.append((int(name), os.readlink(f"{_DESCRIPTORS}/{name}")))
        except OSError:
            # The one that the listing itself needed, or of a system where these are no links.
            continue
    return found
