"""A gRPC server that goes on listening, whatever it is asked for.

A server of grpc.aio 1.84 and later takes no more calls for good when anybody asks for a path that is not UTF-8: the
task that takes calls ends. Calls under way go on, and so does the process. So servers are watched here:

1. The watch finds out within ``_LOOK_S`` that a server has given up. By then gRPC has closed its port.
2. Another takes its place at the same address. gRPC may take a moment to close the port, so this is tried again.
3. The one before is kept until its last call has ended, or until everything is stopped.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

import grpc.aio

from tunnel.domain.errors import ListenError

__all__ = ["StandingServer"]

_logger: Final = logging.getLogger("tunnel.grpc")

_LOOK_S: Final = 0.1
"""gRPC tells nobody that a server has given up; it has to be asked."""

_GIVEN_UP: Final = (UnicodeError, grpc.aio.BaseError)
"""What the task that takes calls may end with."""

_ANY_TIME_S: Final = 365 * 24 * 3600.0
"""For calls under way on a server that has given up."""


class StandingServer:
    """A server, and others in its place when it gives up. Belongs to one event loop (asyncio's).

    Args:
        make: Makes a server with its port and its handlers, not started. Raises ``ListenError`` while the port is not
            to be had.
    """

    def __init__(self, make: Callable[[], grpc.aio.Server]) -> None:
        self._make = make
        self._servers: list[grpc.aio.Server] = []
        self._departures: set[asyncio.Task[None]] = set()
        self._watch: asyncio.Task[None] | None = None
        self._stopping = False

    async def start(self) -> None:
        """Listen.

        Raises:
            ListenError: The address cannot be had.
        """
        await self._start()
        self._watch = asyncio.create_task(self._keep(), name="tunnel grpc server watch")

    async def stop(self, grace_s: float) -> None:
        """Take no more calls, and return when those under way have ended.

        May be called again, meanwhile too; the shortest grace counts.

        Args:
            grace_s: Seconds that calls are given; then they are cancelled.
        """
        self._stopping = True
        if self._watch is not None:
            self._watch.cancel()
        if self._servers:
            *before, current = self._servers
            stopping = [asyncio.create_task(_stop(server, grace_s)) for server in before]
            await _stop(current, grace_s)
            await asyncio.gather(*stopping)
        if self._watch is not None:
            await asyncio.wait([self._watch])
        while self._departures:
            await asyncio.wait(self._departures)

    async def _start(self) -> None:
        server = self._make()
        self._servers.append(server)
        await server.start()

    async def _keep(self) -> None:
        # Asked before each step: on Python 3.11 waiting may end as if it had not been cancelled.
        while not self._stopping:
            try:
                await self._servers[-1].wait_for_termination(_LOOK_S)
            except _GIVEN_UP as error:
                if not self._stopping:
                    await self._replace(error)

    async def _replace(self, error: Exception) -> None:
        _logger.warning("a gRPC server gave up listening (%s); another takes its place", type(error).__name__)
        departure = asyncio.create_task(self._depart(self._servers[-1]), name="tunnel grpc server departure")
        self._departures.add(departure)
        departure.add_done_callback(self._departures.discard)
        while not self._stopping:
            try:
                await self._start()
            except ListenError:
                await asyncio.sleep(_LOOK_S)
            else:
                return

    async def _depart(self, server: grpc.aio.Server) -> None:
        await _stop(server, _ANY_TIME_S)
        self._servers.remove(server)


async def _stop(server: grpc.aio.Server, grace_s: float) -> None:
    try:
        await server.stop(grace_s)
    except _GIVEN_UP:
        # It gave up at this very moment, and says so once.
        _logger.debug("a gRPC server gave up while it was stopped", exc_info=True)
        await server.stop(grace_s)
