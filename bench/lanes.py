"""The ways to the upstream, and the names of all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from bench.processes import Processes
from bench.upstreams import Upstreams

__all__ = ["BYTE_LANES", "REFERENCES", "TITLES", "Entrance", "Lane", "StartLane"]

TITLES: Final = {
    "grpc": "tunnel, gRPC",
    "websocket": "tunnel, WebSocket",
    "memory": "tunnel, memory",
    "ssh": "ssh -R",
    "frp": "frp",
    "chisel": "chisel",
    "piko": "piko",
    "rathole": "rathole",
    "uvicorn": "uvicorn alone",
    "direct": "direct",
    "rules-10": "10 rules",
    "rules-1000": "1,000 rules",
    "rules-10000": "10,000 rules",
}
"""Every lane, in the order of the tables."""

BYTE_LANES: Final = ("grpc", "websocket", "memory", "ssh", "frp", "chisel", "rathole", "direct")
"""Those that lead to every upstream, whatever is spoken there."""

REFERENCES: Final = ("ssh", "direct")
"""The lanes that all others are compared with."""


@dataclass(frozen=True)
class Entrance:
    """Where visitors come in.

    Args:
        address: ``host:port``.
        fields: Header fields that each request must have, for peers that route by one.
    """

    address: str
    fields: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Lane:
    """One way to the upstream, running.

    Args:
        name: A key of ``TITLES``.
        entrances: Where visitors of each upstream come in, often the same address for several: ``plain`` leads
            to fixed answers of HTTP, ``streams`` to uploads and events, ``websockets`` and ``bytes`` to echoes over
            WebSocket and TCP, ``calls`` to a gRPC service. What the lane cannot carry is missing.
        publisher: ``host:port`` where events are published, past the lane.
        processes: Its own processes by role, each the root of a tree.
        upstream: The upstream's process behind each entrance, by the same names; empty where the lane is its own
            upstream.
    """

    name: str
    entrances: Mapping[str, Entrance]
    publisher: str
    processes: Mapping[str, int] = field(default_factory=dict)
    upstream: Mapping[str, int] = field(default_factory=dict)

    def measured(self, entrance: str) -> dict[str, int]:
        """The processes that work when visitors use ``entrance``, by role."""
        behind = {"upstream": self.upstream[entrance]} if entrance in self.upstream else {}
        return {**self.processes, **behind}


StartLane = Callable[[Upstreams, Processes], Lane]
"""Starts a lane, and returns when it can be used. Raises ``NotFound`` or ``Failed``."""
