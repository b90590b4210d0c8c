"""Checks of both directions of a link."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import TypeAlias

from tunnel.ports.transport import Link
from tunnel.testing.transport.harness import TransportHarness

__all__ = ["each_way", "ordered"]

_OneWay: TypeAlias = Callable[..., Awaitable[None]]


def each_way(scenario: _OneWay) -> Callable[[TransportHarness], Awaitable[None]]:
    """Run a scenario with the argument ``from_server``, once False and once True."""

    @wraps(scenario)
    async def both(harness: TransportHarness) -> None:
        await scenario(harness, from_server=False)
        await scenario(harness, from_server=True)

    return both


def ordered(pair: tuple[Link, Link], *, from_server: bool) -> tuple[Link, Link]:
    """The end that acts, and the other."""
    client, server = pair
    return (server, client) if from_server else (client, server)
