"""What is measured: the loads, their units, and which lanes they fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from bench.accounting import Meter
from bench.bulk_load import run_bulk
from bench.call_load import STREAM, STREAM_MESSAGES, UNARY, run_calls
from bench.echo_load import run_echoes
from bench.event_load import run_events
from bench.idle_load import reachable_sockets, run_idle
from bench.lanes import BYTE_LANES, REFERENCES, TITLES, Lane
from bench.lookup_load import run_lookups
from bench.request_load import run_requests
from bench.samples import Result
from bench.transfer_load import run_downloads, run_uploads

__all__ = ["LOAD_NAMES", "QUICK_LOADS", "RULE_COUNTS", "Load", "make_loads"]

RULE_COUNTS: Final = (10, 1000, 10_000)
_RULE_LANES: Final = tuple(f"rules-{count}" for count in RULE_COUNTS)
_WEBSOCKET_LANES: Final = tuple(name for name in TITLES if name == "piko" or name in BYTE_LANES)
_LANES: Final = tuple(name for name in TITLES if name not in _RULE_LANES)
_CONNECTIONS: Final = (1, 50, 200, 400)
_BODY_CONNECTIONS: Final = 50
_SUBSCRIBERS: Final = 100
_SOCKETS: Final = 100
_TCP_CONNECTIONS: Final = 50
_CALLERS: Final = 50
_STREAMS: Final = 10
_MANY_ROUNDS: Final = 1_000_000
_FEW_ROUNDS: Final = 3

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
        most_rounds: Turns of each lane at most; for those whose turns are long.
        weighs: It is memory that counts. Each turn gets a lane that was just started, since what a process has used
            before it uses again without growing.
    """

    name: str
    title: str
    unit: str
    run: Run
    entrance: str = "plain"
    lanes: tuple[str, ...] = _LANES
    references: tuple[str, ...] = REFERENCES
    most_rounds: int = _MANY_ROUNDS
    weighs: bool = False

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


def make_loads(*, large_mib: int = 1, bulk_mib: int = 1, idle_sockets: int = 1) -> dict[str, Load]:
    """Every load by its name, in the order of the output.

    Args:
        large_mib: Size of a large body, MiB.
        bulk_mib: Size of what goes over one TCP connection, MiB.
        idle_sockets: Idle WebSockets, if the limit on open files allows so many.
    """
    every = [
        *_http_loads(large_mib),
        *_websocket_loads(reachable_sockets(idle_sockets)),
        *_grpc_loads(),
        *_tcp_loads(bulk_mib),
        Load("lookup", "rule lookups", "lookup", run_lookups, lanes=_RULE_LANES, references=_RULE_LANES[:1]),
    ]
    return {load.name: load for load in every}


def _http_loads(large_mib: int) -> list[Load]:
    several = [
        Load(
            f"get-{connections}",
            f"small GETs, {connections} connection{'s' if connections > 1 else ''}",
            "request",
            partial(run_requests, path="/small", connections=connections),
        )
        for connections in _CONNECTIONS
    ]
    return [
        *several,
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
    ]


def _websocket_loads(idle_sockets: int) -> list[Load]:
    return [
        Load(
            "websocket-echo",
            f"WebSocket messages of 100 bytes and their echoes, {_SOCKETS} sockets, one message outstanding on each",
            "message",
            partial(run_echoes, entrance="websockets", connections=_SOCKETS),
            "websockets",
            lanes=_WEBSOCKET_LANES,
        ),
        Load(
            "websocket-idle",
            f"{idle_sockets:,} WebSockets opened at a bounded rate, then idle",
            "socket",
            partial(run_idle, sockets=idle_sockets),
            "websockets",
            lanes=_WEBSOCKET_LANES,
            most_rounds=1,
            weighs=True,
        ),
    ]


def _grpc_loads() -> list[Load]:
    return [
        Load(
            "grpc-unary",
            f"gRPC calls with 100 bytes each way, {_CALLERS} callers",
            "call",
            partial(run_calls, method=UNARY, callers=_CALLERS),
            "calls",
            lanes=BYTE_LANES,
        ),
        Load(
            "grpc-stream",
            f"gRPC messages of 100 bytes from {_STREAMS} streams, {STREAM_MESSAGES:,} each before the next",
            "message",
            partial(run_calls, method=STREAM, callers=_STREAMS),
            "calls",
            lanes=BYTE_LANES,
        ),
    ]


def _tcp_loads(bulk_mib: int) -> list[Load]:
    bulk = [
        Load(
            f"tcp-bulk-{way}",
            f"{bulk_mib:,} MiB {way} one TCP connection",
            "MiB",
            partial(run_bulk, up=way == "up", bulk_mib=bulk_mib),
            "bytes",
            lanes=BYTE_LANES,
            most_rounds=_FEW_ROUNDS,
        )
        for way in ("down", "up")
    ]
    return [
        *bulk,
        Load(
            "tcp-echo",
            f"100 bytes there and back over TCP, {_TCP_CONNECTIONS} connections",
            "exchange",
            partial(run_echoes, entrance="bytes", connections=_TCP_CONNECTIONS),
            "bytes",
            lanes=BYTE_LANES,
        ),
    ]


LOAD_NAMES: Final = tuple(make_loads())
_LEFT_OUT: Final = ("get-200", "get-400", "body-10k", "upload", "tcp-bulk-up")
QUICK_LOADS: Final = tuple(name for name in LOAD_NAMES if name not in _LEFT_OUT)
