"""Ports for listeners that are started later, or never."""

from __future__ import annotations

import fcntl
import functools
import itertools
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

__all__ = ["unused_port"]

_FIRST = 20_000
_PORTS_EACH = 200
_PROCESSES = 60


def unused_port() -> int:
    """Return a port that nobody listens on, below the range from which the kernel takes ports by itself.

    Each process that runs tests has a range of its own, whoever started it, and goes through all of it before a port
    comes again: one that was returned may be needed a while later only.
    """
    for port in itertools.islice(_ports(), _PORTS_EACH):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError(f"all {_PORTS_EACH} ports of this process are in use")


@functools.cache
def _ports() -> Iterator[int]:
    first = _FIRST + _own_range() * _PORTS_EACH
    return itertools.cycle(range(first, first + _PORTS_EACH))


def _own_range() -> int:
    """Take the number of a range for as long as this process lives."""
    directory = Path(tempfile.gettempdir(), f"hextunnel-test-ports-{os.getuid()}")
    directory.mkdir(exist_ok=True)
    for number in range(_PROCESSES):
        descriptor = os.open(directory / str(number), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            # Never closed: the lock goes with the process.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
        else:
            return number
    raise AssertionError(f"{_PROCESSES} processes run tests already")
