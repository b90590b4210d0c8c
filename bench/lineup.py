"""Brings up the lanes that can be had here, and proves that each of them answers."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from bench.lanes import Lane, StartLane
from bench.loads import RULE_COUNTS
from bench.lookup_load import start_rules
from bench.peer_lanes import start_chisel, start_frp, start_piko, start_rathole
from bench.plain_lanes import start_direct, start_uvicorn
from bench.processes import Failed, NotFound, Processes
from bench.ssh_lane import start_ssh
from bench.tunnel_lanes import MANY_SESSIONS, TunnelLanes
from bench.upstream_server import SMALL
from bench.upstreams import Upstreams, start_upstreams
from bench.visitor import Visitor

__all__ = ["Lineup", "bring_up", "renewed"]

_ANSWER_S: Final = 10.0
_LOOK_S: Final = 0.1


@dataclass
class Lineup:
    """Which lanes run, and why the others do not; both reasons by the name of the lane."""

    lanes: dict[str, Lane] = field(default_factory=dict)
    not_found: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def bring_up(names: Iterable[str], upstreams: Upstreams, processes: Processes, *, python: str) -> Lineup:
    """Start lanes. One that fails is no reason for the others not to run.

    Args:
        names: Of the lanes wanted.
        upstreams: Where they lead to.
        processes: Ends what was started, whatever happens here.
        python: The interpreter of the tunnel, of uvicorn and of the rules.
    """
    starters = _starters(python)
    lineup = Lineup()
    for name in names:
        try:
            lane = starters[name](upstreams, processes)
            if not name.startswith("rules-"):
                _prove(lane)
            lineup.lanes[name] = lane
        except NotFound as exc:
            lineup.not_found[name] = str(exc)
        except Failed as exc:
            lineup.failed[name] = str(exc)
    return lineup


@contextlib.contextmanager
def renewed(name: str, processes: Processes, *, python: str) -> Iterator[Lane]:
    """Start a lane once more, with upstreams of its own and room for many conversations, and end both.

    Args:
        name: Of a lane that could be had before.
        processes: Ends what was started, if nobody else does.
        python: As of ``bring_up``.

    Raises:
        Failed: It does not get ready.
    """
    branch = processes.branch()
    try:
        lane = _starters(python, limits=MANY_SESSIONS)[name](start_upstreams(branch, large_mib=1), branch)
        _prove(lane)
        yield lane
    finally:
        branch.stop_all()


def _starters(python: str, *, limits: str = "") -> dict[str, StartLane]:
    tunnels = TunnelLanes(python, limits=limits)
    return {
        "grpc": partial(tunnels.start, "grpc"),
        "websocket": partial(tunnels.start, "websocket"),
        "memory": partial(tunnels.start, "memory"),
        "ssh": start_ssh,
        "frp": start_frp,
        "chisel": start_chisel,
        "piko": start_piko,
        "rathole": start_rathole,
        "uvicorn": partial(start_uvicorn, python),
        "direct": start_direct,
        **{f"rules-{count}": _rules_starter(python, count) for count in RULE_COUNTS},
    }


def _rules_starter(python: str, count: int) -> StartLane:
    return lambda _, processes: start_rules(python, count, processes)


def _prove(lane: Lane) -> None:
    """Return once a request gets the upstream's answer; some lanes listen before they lead anywhere."""
    deadline = time.monotonic() + _ANSWER_S
    while True:
        try:
            with Visitor(lane.entrances["plain"]) as visitor:
                body = visitor.get("/small")
            with Visitor(lane.entrances["streams"]) as visitor:
                visitor.upload("/upload", len(SMALL))
        except (OSError, Failed) as exc:
            if time.monotonic() > deadline:
                raise Failed(f"no answer from {lane.entrances['plain'].address}: {exc}") from exc
            time.sleep(_LOOK_S)
        else:
            break
    if body != SMALL:
        raise Failed(f"unexpected answer from {lane.entrances['plain'].address}: {body[:80]!r}")
