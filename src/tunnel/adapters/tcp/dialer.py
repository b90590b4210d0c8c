"""Opening connections to a target: resolve once, ask permission, dial the address that was permitted."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import TypeAlias

from tunnel.adapters.tcp.connection import TcpConnection
from tunnel.domain.configuration.target_url import parse_target
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.sockets.resolver import Resolved, resolve

__all__ = ["Permits", "TcpDialer"]

Permits: TypeAlias = Callable[[str, int, str], bool]
"""Whether to dial: host as configured, port, and the address it resolved to."""


class TcpDialer:
    """Dials one target.

    Args:
        target: ``tcp://HOST:PORT``.
        permits: Asked for each resolved address.
        connect_timeout_s: Seconds for the name and the connection together.

    Raises:
        ConfigurationError: ``target`` is malformed.
    """

    def __init__(self, target: str, *, permits: Permits, connect_timeout_s: float) -> None:
        self._target = target
        url = parse_target(target)
        self._host, self._port = url.host, url.port
        self._permits = permits
        self._connect_timeout_s = connect_timeout_s

    async def dial(self, factory: Callable[[], TcpConnection]) -> TcpConnection:
        """Open a connection. Of several addresses each has its share of the time.

        Raises:
            SessionError: ``upstream_timeout``, ``upstream_unreachable``; ``forbidden``: no resolved address is
                permitted.
        """
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                return await self._connect(factory)
        except TimeoutError as exc:
            detail = f"{self._target}: {exc or f'nothing within {self._connect_timeout_s:g} s'}"
            raise SessionError(ErrorCode.UPSTREAM_TIMEOUT, "connecting timed out", detail=detail) from exc
        except (OSError, UnicodeError) as exc:
            message = "the upstream cannot be reached"
            raise SessionError(ErrorCode.UPSTREAM_UNREACHABLE, message, detail=f"{self._target}: {exc}") from exc

    async def _connect(self, factory: Callable[[], TcpConnection]) -> TcpConnection:
        loop = asyncio.get_running_loop()
        candidates = await self._permitted()
        give_up = loop.time() + self._connect_timeout_s
        for left in range(len(candidates), 1, -1):
            try:
                async with asyncio.timeout((give_up - loop.time()) / left):
                    return await _connect_to(candidates[-left], factory)
            except OSError:  # and TimeoutError, which is one: on to the next address
                continue
        return await _connect_to(candidates[-1], factory)

    async def _permitted(self) -> Sequence[Resolved]:
        """What the name resolves to and may be dialled, in the resolver's order; never empty."""
        host, port = self._host, self._port
        found = await resolve(host, port)
        permitted = [each for each in found if self._permits(host, port, str(each.at[0]))]
        if not permitted:
            addresses = ", ".join(sorted({str(each.at[0]) for each in found}))
            detail = f"{self._target} resolves to {addresses or 'nothing'}"
            raise SessionError(ErrorCode.FORBIDDEN, "dialling this upstream is not allowed", detail=detail)
        return permitted


async def _connect_to(resolved: Resolved, factory: Callable[[], TcpConnection]) -> TcpConnection:
    """Connect the very address that was permitted: no name is looked up again."""
    loop = asyncio.get_running_loop()
    family, at = resolved
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    connection = factory()
    try:
        sock.setblocking(False)
        await loop.sock_connect(sock, at)
        await loop.create_connection(lambda: connection, sock=sock)
    except BaseException:
        # uvloop does not tell a connection that is lost between being made and being handed over.
        connection.connection_lost(None)
        sock.close()
        raise
    return connection
