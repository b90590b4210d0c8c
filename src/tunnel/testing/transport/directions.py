"""Checks of both directions of a link."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial, wraps
from typing import Any, TypeAlias

import anyio

from tunnel.ports.transport import Link
from tunnel.testing.transport.harness import TransportHarness

__all__ = ["each_way", "ordered"]

_OneWay: TypeAlias = Callable[..., Coroutine[Any, Any, None]]


def each_way(scenario: _OneWay) -> Callable[[TransportHarness], Coroutine[Any, Any, None]]:
    """Run a scenario with the argument ``from_server`` False and True at once: they wait for things together."""

    @wraps(scenario)
    async def both(harness: TransportHarness) -> None:
        async with anyio.create_task_group() as directions:
            for from_server in (False, True):
                directions.start_soon(partial(scenario, harness, from_server=from_server))

    return both


def ordered(pair: tuple[Link, Link], *, from_server: bool) -> tuple[Link, Link]:
    """The end that acts, and the other."""
    client, server = pair
    return (server, client) if from_server else (client, server)
