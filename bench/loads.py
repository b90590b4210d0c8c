"""What is measured: the loads, their units, and which lanes they fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from bench.accounting import Meter
from bench.event_load import run_events
from bench.lanes import REFERENCES, TITLES, Lane
from bench.lookup_load import run_lookups
from bench.request_load import run_requests
from bench.samples import Result
from bench.transfer_load import run_downloads, run_uploads

__all__ = ["LOAD_NAMES", "QUICK_LOADS", "RULE_COUNTS", "Load", "make_loads"]

RULE_COUNTS: Final = (10, 1000, 10_000)
_RULE_LANES: Final = tuple(f"rules-{count}" for count in RULE_COUNTS)
_LANES: Final = tuple(name for name in TITLES if name not in _RULE_LANES)
_CONNECTIONS: Final = (1, 50, 200, 400)
_BODY_CONNECTIONS: Final = 50
_SUBSCRIBERS: Final = 100

Run = Callable[..., Result]
"""Called with a lane, a meter to enter while it counts, and ``seconds``."""


@dataclass(frozen=True)
class Load:
    """One kind of traffic.

    Args:
        name: As in ``--only``.
        title: One line for the reader.
        unit: What is counted: ``request``.
        run: Makes the traffic.
        entrance: Which of a lane's it uses: ``plain`` or ``streams``.
        lanes: Names of those it fits.
        references: Names of lanes that the others are compared with.
    """

    name: str
    title: str
    unit: str
    run: Run
    entrance: str = "plain"
    lanes: tuple[str, ...] = _LANES
    references: tuple[str, ...] = REFERENCES

    @property
    def units(self) -> str:
        """The plural of ``unit``."""
        match self.unit:
            case "MiB":
                return self.unit
            case "delivery":
                return "deliveries"
            case _:
                return f"{self.unit}s"

    def measure(self, lane: Lane, meter: Meter, *, seconds: float) -> Result:
        """One turn. Raises ``Failed``."""
        return self.run(lane, meter, seconds=seconds)


def make_loads(*, large_mib: int) -> dict[str, Load]:
    """Every load by its name, in the order of the output.

    Args:
        large_mib: Size of a large body, MiB.
    """
    several = [
        Load(
            f"get-{connections}",
            f"small GETs, {connections} connection{'s' if connections > 1 else ''}",
            "request",
            partial(run_requests, path="/small", connections=connections),
        )
        for connections in _CONNECTIONS
    ]
    several += [
        Load(
            "body-10k",
            f"GETs of 10 KiB, {_BODY_CONNECTIONS} connections",
            "request",
            partial(run_requests, path="/body", connections=_BODY_CONNECTIONS),
        ),
        Load("download", f"{large_mib} MiB down", "MiB", partial(run_downloads, large_mib=large_mib)),
        Load("upload", f"{large_mib} MiB up", "MiB", partial(run_uploads, large_mib=large_mib), "streams"),
        Load(
            "events",
            f"server-sent events to {_SUBSCRIBERS} subscribers",
            "delivery",
            partial(run_events, subscribers=_SUBSCRIBERS),
            "streams",
        ),
        Load("lookup", "rule lookups", "lookup", run_lookups, lanes=_RULE_LANES, references=_RULE_LANES[:1]),
    ]
    return {load.name: load for load in several}


LOAD_NAMES: Final = tuple(make_loads(large_mib=1))
QUICK_LOADS: Final = tuple(name for name in LOAD_NAMES if name not in ("get-200", "get-400", "body-10k"))
