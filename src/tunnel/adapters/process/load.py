"""Counting tasks and open files."""

from __future__ import annotations

import asyncio
import os

import anyio

from tunnel.ports.inspection import ProcessLoad

__all__ = ["process_load"]

_FILES = "/proc/self/fd"
"""Linux only."""


def process_load() -> ProcessLoad:
    """What this process holds now. Takes some milliseconds with ten thousand tasks."""
    return ProcessLoad(_tasks(), _open_files())


def _tasks() -> int:
    if anyio.get_cancelled_exc_class() is asyncio.CancelledError:
        # anyio's own way describes each task besides, which takes twenty times as long.
        return len(asyncio.all_tasks())
    return len(anyio.get_running_tasks())


def _open_files() -> int | None:
    try:
        # Reading the directory opens a file.
        return len(os.listdir(_FILES)) - 1
    except OSError:
        return None
