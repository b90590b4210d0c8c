"""What one simulated day looks like, drawn from a seed: settings, requests, and faults."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from enum import Enum

from tunnel.domain.configuration import LimitsSettings
from tunnel.domain.limits import KIB

__all__ = ["FAULTS", "STRATEGIES", "Fault", "Kind", "Plan", "Request", "more_requests"]

STRATEGIES = ("round_robin", "weighted", "random", "least_sessions", "power_of_two", "consistent_hash")


class Kind(Enum):
    """What a request is, and what its upstream does with it."""

    SMALL = "small"
    DOWNLOAD = "download"
    UPLOAD = "upload"
    """Answered with the number of bytes, once all are there."""
    ECHO = "echo"
    """Answered while it comes."""
    EARLY = "early"
    """Answered before its body was read."""
    UNREACHABLE = "unreachable"
    """Nobody answers at the upstream."""
    CUT_SHORT = "cut_short"
    """The upstream dies in the middle of its answer."""


class Fault(Enum):
    CUT = "cut"
    """Links break: frames under way are lost, and both sides know."""
    HALF_OPEN = "half_open"
    """Links go silent, and nobody is told."""
    STALL = "stall"
    """Links deliver nothing for a while."""
    SLOW = "slow"
    """Links become longer."""
    UNREACHABLE = "unreachable"
    """Links break, and for a while none can be dialled."""
    CRASH = "crash"
    """A client's process dies, and starts again after a while."""
    RESTART = "restart"
    """A client is told to stop, drains, and starts again."""
    TAKEOVER = "takeover"
    """A second process starts under a client's name before the first has ended."""
    RELOAD = "reload"
    """The server gets another configuration: rules, strategies, upstreams."""
    SERVER = "server"
    """The server's process dies, and starts again at once."""
    BURST = "burst"
    """Many small requests at once."""
    DEPARTURE = "departure"
    """Visitors leave in the middle."""


FAULTS = tuple(Fault)
_WEIGHTS = (8, 4, 4, 3, 3, 3, 2, 1, 3, 1, 3, 3)

_LOSSES = (Fault.CUT, Fault.CUT, Fault.HALF_OPEN, Fault.STALL)
_NUISANCES = (Fault.SLOW, Fault.RELOAD, Fault.BURST, Fault.DEPARTURE)
_GENTLE_SHARE = 0.3


@dataclass(eq=False)
class Request:
    """One request, all of what it will be decided beforehand.

    Attributes:
        number: Its name; contents follow from it.
        kind: What it is.
        at_s: When it comes, after the one before.
        up: Bytes of its body.
        down: Bytes of the answer's body.
        piece: Bytes at a time.
        read_s: Seconds that the visitor takes for each part of the answer.
        serve_s: Seconds that the upstream takes for each part.
        leaves_s: When the visitor leaves; None: not before the end.
    """

    number: int
    kind: Kind
    at_s: float = 0.0
    up: int = 0
    down: int = 0
    piece: int = 1000
    read_s: float = 0.0
    serve_s: float = 0.0
    leaves_s: float | None = None

    @property
    def idempotent(self) -> bool:
        return not self.up

    @property
    def forwarded(self) -> bool:
        """Whether it is made at an entry of a client, and answered by the server's own upstreams."""
        return self.number % 3 == 1


@dataclass(eq=False)
class Plan:
    """One schedule.

    Attributes:
        gentle: Nothing goes wrong that a tunnel does not outlive: every request has to be answered in full.
    """

    seed: int
    random: random.Random
    gentle: bool
    clients: int
    limits: LimitsSettings
    wait_for_client_s: float
    strategy: str
    upstream_strategy: str
    ejection: bool
    delay_s: float
    requests: list[Request] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    @classmethod
    def of(cls, seed: int) -> Plan:
        """The schedule of a seed."""
        rng = random.Random(seed)
        window = rng.choice([8, 16, 64]) * KIB
        gentle = rng.random() < _GENTLE_SHARE
        plan = cls(
            seed=seed,
            random=rng,
            gentle=gentle,
            clients=rng.choice([1, 1, 2, 3]),
            limits=LimitsSettings(
                session_window_bytes=window,
                session_window_max_bytes=window * rng.choice([1, 4, 16]),
                replay_window_bytes=rng.choice([256 * KIB, 1024 * KIB]),
                heartbeat_s=rng.choice([0.5, 2.0, 5.0]),
                resume_s=30.0 if gentle else rng.choice([0.0, 3.0, 30.0]),
                drain_s=rng.choice([0.0, 2.0, 10.0]),
            ),
            wait_for_client_s=60.0 if gentle else rng.choice([0.0, 2.0, 20.0]),
            strategy=rng.choice(STRATEGIES),
            upstream_strategy=rng.choice(STRATEGIES),
            ejection=rng.random() < 0.5,
            delay_s=rng.choice([0.0, 0.002, 0.03, 0.2]),
        )
        plan.requests = more_requests(rng, first=0, count=rng.randint(5, 9))
        if gentle:
            # Three links lost in a row, before anything was acknowledged, would end a tunnel.
            plan.faults = rng.choices(_LOSSES, k=2) + rng.choices(_NUISANCES, k=rng.randint(1, 3))
            rng.shuffle(plan.faults)
        else:
            plan.faults = rng.choices(FAULTS, _WEIGHTS, k=rng.randint(3, 5))
        return plan


def more_requests(rng: random.Random, *, first: int, count: int) -> list[Request]:
    """Requests numbered from ``first``."""
    return [_request(rng, first + index) for index in range(count)]


def _request(rng: random.Random, number: int) -> Request:
    kind = rng.choices(tuple(Kind), (2, 4, 3, 4, 1, 1, 1))[0]
    up = rng.choice([1, 500, 20_000, 150_000]) if kind in (Kind.UPLOAD, Kind.ECHO, Kind.EARLY) else 0
    down = rng.choice([0, 700, 20_000, 150_000])
    if kind is Kind.ECHO:
        down = up
    return Request(
        number=number,
        kind=kind,
        at_s=rng.choice([0.0, 0.01, 0.5]),
        up=up,
        down=down,
        piece=max(up, down, 1) // rng.choice([1, 4, 20]) + 1,
        read_s=rng.choice([0.0, 0.001, 0.1]),
        serve_s=rng.choice([0.0, 0.001, 0.1, 0.4]),
    )
