"""How long it takes to find the rule for a request, among few rules and among many."""

from __future__ import annotations

import json
import socket

from bench.accounting import Meter
from bench.lanes import Entrance, Lane
from bench.processes import Failed, Processes
from bench.samples import Result
from bench.upstreams import module_environment

__all__ = ["run_lookups", "start_rules"]

_PATIENCE_S = 30


def start_rules(python: str, count: int, processes: Processes) -> Lane:
    """A process with so many compiled rules.

    Raises:
        Failed: It does not get ready.
    """
    name = f"rules-{count}"
    host = processes.start(name, python, "-m", "bench.lookup_host", str(count), environment=module_environment())
    address = host.until_logged(r"ready (\S+)")
    return Lane(name, {"plain": Entrance(address)}, address, {"rules": host.pid})


def run_lookups(lane: Lane, meter: Meter, *, seconds: float) -> Result:
    """Look requests up, one after another. Counts lookups; its own timing of each is about 0.1 us of them.

    Raises:
        Failed: The process does not answer.
    """
    host, _, port = lane.entrances["plain"].address.rpartition(":")
    try:
        with (
            socket.create_connection((host, int(port)), timeout=seconds + _PATIENCE_S) as connection,
            connection.makefile("rw") as lines,
            meter,
        ):
            lines.write(f"{seconds}\n")
            lines.flush()
            answer = lines.readline()
        return Result(**json.loads(answer))
    except (OSError, ValueError) as exc:
        raise Failed(f"rules: {exc}") from exc
