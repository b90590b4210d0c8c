"""What processes use, read from /proc: CPU time and peak memory. Linux only; elsewhere there is nothing to tell."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

__all__ = ["Meter"]

_RESET_PEAK: Final = "5"
"""What to write to clear_refs so that the high-water mark of resident memory starts anew; see proc(5)."""

_KIB_PER_MIB: Final = 1024


class Meter:
    """Measures some process trees while its context is entered: ``with meter: ...``.

    Args:
        processes: The process at the root of each tree, by role.
    """

    def __init__(self, processes: Mapping[str, int]) -> None:
        self._processes: Final = dict(processes)
        self._cpu_s: dict[str, float] = {}
        self._held_kib: dict[str, float] = {}
        self._since_s = 0.0
        self.elapsed_s = 0.0
        self.cpu_s: dict[str, float] = {}
        """By role, user and system time of the tree; roles without /proc are missing."""
        self.peak_mib: dict[str, float] = {}
        """By role, the sum of the high-water marks of the tree's members. Since the meter was entered, where the kernel
        lets us reset them, otherwise since they started."""
        self.growth_kib: dict[str, float] = {}
        """By role, by how much its memory grew, as far as no file is behind it."""

    def __enter__(self) -> Self:
        for pid in self._processes.values():
            _reset_peak(pid)
        self._held_kib = {role: _memory_kib(pid, "RssAnon") for role, pid in self._processes.items()}
        self._cpu_s = {role: _cpu_s(pid) for role, pid in self._processes.items()}
        self._since_s = time.perf_counter()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.elapsed_s = time.perf_counter() - self._since_s
        present = {role: pid for role, pid in self._processes.items() if _tree(pid)}
        self.cpu_s = {role: _cpu_s(pid) - self._cpu_s[role] for role, pid in present.items()}
        self.peak_mib = {role: _memory_kib(pid, "VmHWM") / _KIB_PER_MIB for role, pid in present.items()}
        self.growth_kib = {role: _memory_kib(pid, "RssAnon") - self._held_kib[role] for role, pid in present.items()}


def _tree(pid: int) -> list[int]:
    """``pid`` and its descendants; empty where there is no /proc."""
    found, pending = [], [pid]
    while pending:
        current = pending.pop()
        try:
            tasks = list(Path(f"/proc/{current}/task").iterdir())
        except OSError:
            continue
        found.append(current)
        for task in tasks:
            with contextlib.suppress(OSError):
                pending += map(int, (task / "children").read_text().split())
    return found


def _cpu_s(pid: int) -> float:
    ticks = 0
    for member in _tree(pid):
        with contextlib.suppress(OSError):
            after_name = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
            ticks += int(after_name[11]) + int(after_name[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _memory_kib(pid: int, field: str) -> float:
    """One field of status for the whole tree; see proc(5)."""
    kib = 0.0
    for member in _tree(pid):
        with contextlib.suppress(OSError):
            match = re.search(rf"{field}:\s+(\d+) kB", Path(f"/proc/{member}/status").read_text())
            kib += int(match[1]) if match else 0
    return kib


def _reset_peak(pid: int) -> None:
    for member in _tree(pid):
        with contextlib.suppress(OSError):
            Path(f"/proc/{member}/clear_refs").write_text(_RESET_PEAK)
