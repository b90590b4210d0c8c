"""What a process holds that must be given back: tasks, threads, descriptors."""

from __future__ import annotations

import gc
import os
import threading
from dataclasses import dataclass

import anyio

__all__ = ["Holdings"]

_DESCRIPTORS = "/dev/fd"
"""Lists the open descriptors of the process that reads it, on Linux and macOS."""

_LOOK_AGAIN_S = 0.05


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

    async def beyond(self, *, patience_s: float) -> list[str]:
        """What is still held beyond this after ``patience_s`` seconds; returns at once when it is nothing.

        What nothing refers to but itself is collected, since libraries have cycles of their own.
        """
        with anyio.move_on_after(patience_s):
            # Nothing tells when a descriptor is closed.
            while Holdings.now() - self:
                gc.collect()
                await anyio.sleep(_LOOK_AGAIN_S)
        return Holdings.now() - self


def _descriptors() -> list[tuple[int, str]]:
    found = []
    for name in os.listdir(_DESCRIPTORS) if os.path.isdir(_DESCRIPTORS) else ():
        try:
            found.append((int(name), os.readlink(f"{_DESCRIPTORS}/{name}")))
        except OSError:
            # The one that the listing itself needed, or of a system where these are no links.
            continue
    return found
