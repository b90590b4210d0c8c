"""On what, by what and when something was measured; without it a figure means nothing."""

from __future__ import annotations

import datetime
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench.processes import NotFound, program

__all__ = ["describe_machine"]

_VERSION_ARGUMENTS: Final = {
    "nginx": "-v",
    "wrk": "-v",
    "ssh": "-V",
    "frps": "--version",
    "chisel": "--version",
    "piko": "--version",
    "rathole": "--version",
}
_ASK: Final = """
import importlib.metadata as m, platform
def v(n):
    try: return m.version(n)
    except m.PackageNotFoundError: return "-"
print(platform.python_implementation(), platform.python_version(), "with",
      ", ".join(f"{n} {v(n)}" for n in ("hextunnel", "uvloop", "grpcio", "websockets", "uvicorn", "httptools")))
"""
_ANSWER_S: Final = 30


def describe_machine(python: str, arguments: Sequence[str]) -> dict[str, str]:
    """What to print above the figures.

    Args:
        python: The interpreter that runs the tunnel.
        arguments: Of the command line.
    """
    about = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["python", "-m", "bench", *arguments]),
        "machine": f"{_cpu()}, {os.cpu_count()} CPUs, {_memory()}",
        "system": platform.platform(),
        "tunnel's python": f"{python}: {_run(python, '-c', _ASK)}",
        "bench's python": f"{sys.executable}: {platform.python_version()}",
    }
    for name, argument in _VERSION_ARGUMENTS.items():
        try:
            about[name] = _version(_run(program(name), argument))
        except NotFound:
            about[name] = "not found"
    return about


def _run(*command: str) -> str:
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_ANSWER_S)
    except (OSError, subprocess.TimeoutExpired) as exc:
        return f"unknown ({exc})"
    return (done.stdout + done.stderr).strip()


def _version(output: str) -> str:
    first = output.partition("\n")[0]
    match = re.search(r"\d+\.\d+(?:\.\d+|p\d+)[\w.-]*", output)
    return match[0].rstrip(".,") if match else first


def _cpu() -> str:
    try:
        match = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        match = None
    return match[1].strip() if match else platform.machine()


def _memory() -> str:
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1024**3:.0f} GiB"
    except (OSError, ValueError):
        return "memory unknown"
