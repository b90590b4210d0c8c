"""Ports for listeners that are started later, or never."""

from __future__ import annotations

import os
import random
import socket

__all__ = ["unused_port"]

_FIRST = 20_000
_PORTS_EACH = 2_500
_WORKERS = 4


def unused_port() -> int:
    """Return a port that nobody listens on, below the range from which the kernel takes ports by itself.

    Each of the processes that run tests at the same time has a range of its own.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _WORKERS
    first = _FIRST + worker * _PORTS_EACH
    while True:
        port = random.randrange(first, first + _PORTS_EACH)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
