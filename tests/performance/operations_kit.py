"""Counts what the event loop and the interpreter do for a request: numbers that are the same on a busy machine.

All of it runs on asyncio's own event loop, whose methods are Python and can therefore be counted. The loop's clock goes
forward by rounds rather than by seconds, so that a slow machine sees no more timers than a fast one. What the visitors
and the upstream do is part of the figures, small, and always the same.
"""

import asyncio
import gc
import selectors
import socket
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, fields
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from calls_world import make_calls, start_call_tunnel
from operations_world import Crossed, connect_visitors, start_tunnel, visit

WARM_UP_REQUESTS = 100
ROUND_S = 20e-6


@dataclass(frozen=True)
class Operations:
    """Per request, both ends of the tunnel together.

    tasks, timers and callbacks are what the event loop was asked for (create_task; call_at, call_later; call_soon);
    frames and envelopes what crossed the link, both ways; sends what was written to sockets; calls those of Python and
    built-in functions; garbage the objects that only the cyclic garbage collector can free.
    """

    tasks: float
    timers: float
    callbacks: float
    frames: float
    envelopes: float
    sends: float
    calls: float
    garbage: float

    def __str__(self) -> str:
        return ", ".join(f"{each.name}={round(getattr(self, each.name), 2):g}" for each in fields(self))


class _CountingSelector(selectors.DefaultSelector):
    def __init__(self, forward: Callable[[float], None]) -> None:
        super().__init__()
        self._forward = forward

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(timeout)
        self._forward(ROUND_S if ready or timeout is None else max(timeout, ROUND_S))
        return ready


class SteadyLoop(asyncio.SelectorEventLoop):
    """Every round takes as long as any other on its clock, unless it waits for a timer."""

    def __init__(self) -> None:
        self._now_s = 0.0
        super().__init__(_CountingSelector(self._forward))

    def time(self) -> float:
        return self._now_s

    def _forward(self, seconds: float) -> None:
        self._now_s += seconds


class Profile:
    """Counts calls while its context is entered, in this thread."""

    _COUNTED: "dict[CodeType, str]" = {  # noqa: RUF012 - what is looked up for every call
        asyncio.BaseEventLoop.create_task.__code__: "tasks",
        asyncio.BaseEventLoop.call_at.__code__: "timers",
        asyncio.BaseEventLoop.call_soon.__code__: "callbacks",
    }

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def __enter__(self) -> "Profile":
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _note(self, frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            self.counts["calls"] += 1
            if (name := self._COUNTED.get(frame.f_code)) is not None:
                self.counts[name] += 1
        elif event == "c_call":
            self.counts["calls"] += 1
            if argument.__name__ in ("send", "sendmsg") and isinstance(argument.__self__, socket.socket):
                self.counts["sends"] += 1


async def count(transport: str, connections: int, requests: int, directory: Path) -> Operations:
    crossed = Crossed()
    async with AsyncExitStack() as stack:
        address = await start_tunnel(stack, transport, directory, crossed)
        visitors = await connect_visitors(stack, address, connections)
        return await counted(lambda count: visit(visitors, count), requests, crossed)


async def count_calls(callers: int, calls: int, directory: Path) -> Operations:
    crossed = Crossed()
    async with AsyncExitStack() as stack:
        channel = await start_call_tunnel(stack, directory, crossed)
        return await counted(lambda count: make_calls(channel, callers, count), calls, crossed)


async def counted(work: Callable[[int], Awaitable[None]], requests: int, crossed: Crossed) -> Operations:
    """What one of ``requests`` costs that ``work`` makes, on average."""
    await work(WARM_UP_REQUESTS)
    gc.collect()
    await work(requests)
    garbage = gc.collect()
    frames, envelopes = crossed.frames, crossed.envelopes
    with Profile() as profile:
        await work(requests)
    frames, envelopes = crossed.frames - frames, crossed.envelopes - envelopes
    counts = profile.counts
    return Operations(
        tasks=counts["tasks"] / requests,
        timers=counts["timers"] / requests,
        callbacks=counts["callbacks"] / requests,
        frames=frames / requests,
        envelopes=envelopes / requests,
        sends=counts["sends"] / requests,
        calls=counts["calls"] / requests,
        garbage=garbage / requests,
    )


def operations(transport: str, *, connections: int, requests: int, directory: Path) -> Operations:
    """What one request costs, on average over ``requests`` that ``connections`` send at the same time."""
    return _steadily(lambda: count(transport, connections, requests, directory))


def call_operations(*, callers: int, calls: int, directory: Path) -> Operations:
    """What one unary gRPC call costs over the memory link, on average over ``calls`` that ``callers`` make."""
    return _steadily(lambda: count_calls(callers, calls, directory))


def _steadily(measure: Callable[[], Coroutine[Any, Any, Operations]]) -> Operations:
    enabled = gc.isenabled()
    gc.disable()
    try:
        with asyncio.Runner(loop_factory=SteadyLoop) as runner:
            return runner.run(measure())
    finally:
        if enabled:
            gc.enable()
