"""Connections to a gRPC target: resolve once, ask permission, dial the address that was permitted.

Calls to a target share a connection, ``_CALLS_EACH`` of them at most: a target may take no more than that at the same
time on one, and gRPC lets the rest wait without a word, behind streams that may last for ever. So with more calls there
are more connections. When one is lost, or the target says that it takes no more calls on it, the next call dials anew,
name and all, and those under way finish on the one they have.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final, TypeAlias

import grpc
import grpc.aio

from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.sockets.resolver import resolve

__all__ = ["Connector", "Permits", "UpstreamConnection"]

Permits: TypeAlias = Callable[[str, int, str], bool]
"""Whether to dial: host as configured, port, and the address it resolved to."""

ChannelFactory: TypeAlias = Callable[[str], grpc.aio.Channel]
"""Makes a channel to an address as gRPC writes it: ``ipv4:127.0.0.1:50051``, ``ipv6:[::1]:50051``."""

_READY: Final = grpc.ChannelConnectivity.READY
_CALLS_EACH: Final = 100
"""The least that targets are told to take, and what many take. Source: RFC 9113 section 6.5.2."""

_HOPELESS: Final = (grpc.ChannelConnectivity.TRANSIENT_FAILURE, grpc.ChannelConnectivity.SHUTDOWN)


class UpstreamConnection:
    """A channel, and how many calls use it."""

    __slots__ = ("calls", "channel")

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel
        self.calls = 0

    @property
    def ready(self) -> bool:
        """Whether a call that begins now goes out at once."""
        return self.channel.get_state() is _READY


class Connector:
    """Has the connections to one target.

    Args:
        target: As configured, for operators.
        host: Name or address, IPv6 without brackets.
        port: To be dialled.
        permits: Asked for each resolved address.
        connect_timeout_s: Seconds for everything up to a usable connection: name, connect, TLS, HTTP/2.
        make: Makes channels.
    """

    def __init__(
        self,
        *,
        target: str,
        host: str,
        port: int,
        permits: Permits,
        connect_timeout_s: float,
        make: ChannelFactory,
    ) -> None:
        self._target = target
        self._host = host
        self._port = port
        self._permits = permits
        self._connect_timeout_s = connect_timeout_s
        self._make = make
        self._current: list[UpstreamConnection] = []
        self._open: set[UpstreamConnection] = set()
        self._dialling: asyncio.Task[UpstreamConnection] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self.closed = False

    @property
    def open_connections(self) -> int:
        """Connections that are not closed yet."""
        return len(self._open)

    async def acquire(self) -> UpstreamConnection:
        """A connection for one call, to be given back by ``release``. Cancelling spoils nothing for others.

        Raises:
            SessionError: ``upstream_timeout``, ``upstream_unreachable``; ``forbidden``: no resolved address is
                permitted; ``refused``: this is closed.
        """
        if self.closed:
            raise _closed()
        connection = self._with_room()
        while connection is None or connection.calls >= _CALLS_EACH:
            try:
                connection = await self._dialled()
            except SessionError:
                # Waiting on one that is full is better than failing.
                full = [each for each in self._current if each.ready]
                if not full or self.closed:
                    raise
                connection = min(full, key=lambda each: each.calls)
                break
        connection.calls += 1
        return connection

    def release(self, connection: UpstreamConnection) -> None:
        """The call is over."""
        connection.calls -= 1
        if not connection.calls and connection not in self._current:
            self._retire(connection)

    async def aclose(self) -> None:
        """Close every connection; calls under way fail. Idempotent."""
        self.closed = True
        self._current.clear()
        if self._dialling is not None:
            self._dialling.cancel()
            await asyncio.wait([self._dialling])
        for connection in list(self._open):
            self._retire(connection)
        while self._closing:
            await asyncio.wait(self._closing)

    def _with_room(self) -> UpstreamConnection | None:
        """The first that takes another call, so that the last ones fall idle; those that were lost are given up."""
        for connection in [each for each in self._current if not each.ready]:
            self._current.remove(connection)
            if not connection.calls:
                self._retire(connection)
        return next((each for each in self._current if each.calls < _CALLS_EACH), None)

    async def _dialled(self) -> UpstreamConnection:
        """Those who need a connection while one is being dialled wait for it together."""
        if self._dialling is None:
            self._dialling = asyncio.create_task(self._dial(), name="tunnel grpc upstream dialler")
            self._dialling.add_done_callback(self._dialled_or_not)
        dialling = self._dialling
        await asyncio.wait([dialling])
        if self.closed or dialling.cancelled():
            raise _closed()
        error = dialling.exception()
        if isinstance(error, SessionError):
            # Afresh: the same exception raised in two tasks would mix their tracebacks.
            raise SessionError(error.code, error.message, detail=error.detail) from error
        return dialling.result()

    def _dialled_or_not(self, dialling: asyncio.Task[UpstreamConnection]) -> None:
        self._dialling = None
        if dialling.cancelled() or dialling.exception() is not None:
            return
        self._current.append(dialling.result())

    async def _dial(self) -> UpstreamConnection:
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                return await self._connect(await self._permitted())
        except TimeoutError as exc:
            detail = f"{self._target}: nothing within {self._connect_timeout_s:g} s"
            raise SessionError(ErrorCode.UPSTREAM_TIMEOUT, "connecting timed out", detail=detail) from exc
        except (OSError, UnicodeError) as exc:
            message = "the upstream cannot be reached"
            raise SessionError(ErrorCode.UPSTREAM_UNREACHABLE, message, detail=f"{self._target}: {exc}") from exc

    async def _permitted(self) -> list[str]:
        """What the name resolves to and may be dialled, in the resolver's order; never empty."""
        host, port = self._host, self._port
        addresses = [(each.family, str(each.at[0])) for each in await resolve(host, port)]
        permitted = [
            f"ipv6:[{address}]:{port}" if family == socket.AF_INET6 else f"ipv4:{address}:{port}"
            for family, address in addresses
            if self._permits(host, port, address)
        ]
        if not permitted:
            resolved = ", ".join(sorted({address for _, address in addresses}))
            detail = f"{self._target} resolves to {resolved or 'nothing'}"
            raise SessionError(ErrorCode.FORBIDDEN, "dialling this upstream is not allowed", detail=detail)
        return permitted

    async def _connect(self, addresses: list[str]) -> UpstreamConnection:
        loop = asyncio.get_running_loop()
        give_up = loop.time() + self._connect_timeout_s
        for left in range(len(addresses), 1, -1):
            try:
                async with asyncio.timeout((give_up - loop.time()) / left):
                    return await self._connect_to(addresses[-left])
            except OSError:  # and TimeoutError, which is one: on to the next address
                continue
        return await self._connect_to(addresses[-1])

    async def _connect_to(self, address: str) -> UpstreamConnection:
        connection = UpstreamConnection(self._make(address))
        self._open.add(connection)
        channel = connection.channel
        try:
            while (state := channel.get_state(try_to_connect=True)) is not _READY:
                if state in _HOPELESS:
                    raise ConnectionError("no connection, or none that speaks HTTP/2")
                await channel.wait_for_state_change(state)
        except BaseException:
            self._retire(connection)
            raise
        return connection

    def _retire(self, connection: UpstreamConnection) -> None:
        if connection in self._open:
            self._open.discard(connection)
            task = asyncio.create_task(connection.channel.close(None), name="tunnel grpc upstream close")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)


def _closed() -> SessionError:
    return SessionError(ErrorCode.REFUSED, "the upstream is closed")
