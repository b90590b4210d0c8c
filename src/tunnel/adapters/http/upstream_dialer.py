"""Opening connections to an upstream: resolve once, ask permission, dial the address that was permitted."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import TypeAlias, TypeVar

from tunnel.adapters.http.upstream_address import UpstreamAddress
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.sockets.keepalive import keep_alive
from tunnel.sockets.resolver import Resolved, resolve

__all__ = ["Permits", "UpstreamDialer"]

Permits: TypeAlias = Callable[[str, int, str], bool]
"""Whether to dial: host as configured, port, and the address it resolved to."""

P = TypeVar("P", bound=asyncio.Protocol)


class UpstreamDialer:
    """Dials one upstream.

    Args:
        address: The upstream.
        permits: Asked for each resolved address; not for socket files.
        connect_timeout_s: Seconds for everything up to a usable connection: name, connect, TLS.
        ssl_context: For TLS; None without.
        server_name: The name that TLS asks for and verifies; None: the address's host.
    """

    def __init__(
        self,
        address: UpstreamAddress,
        *,
        permits: Permits,
        connect_timeout_s: float,
        ssl_context: ssl.SSLContext | None,
        server_name: str | None = None,
    ) -> None:
        self._address = address
        self._permits = permits
        self._connect_timeout_s = connect_timeout_s
        self._ssl_context = ssl_context
        self._server_name = None if ssl_context is None else server_name or address.host
        self._dialling: set[asyncio.Timeout] = set()
        self._settled: asyncio.Future[None] | None = None
        self._closed = False

    async def dial(self, factory: Callable[[], P]) -> P:
        """Open a connection with a protocol made by ``factory``.

        Raises:
            SessionError: ``upstream_timeout``, ``upstream_unreachable``; ``forbidden``: no resolved address is
                permitted; ``refused``: this dialer is closed.
        """
        if self._closed:
            raise _closed()
        try:
            async with asyncio.timeout(self._connect_timeout_s) as deadline:
                self._dialling.add(deadline)
                try:
                    return await self._connect(factory)
                finally:
                    self._done_with(deadline)
        except TimeoutError as exc:
            if self._closed:
                raise _closed() from exc
            detail = f"{self._address.target}: {exc or f'nothing within {self._connect_timeout_s:g} s'}"
            raise SessionError(ErrorCode.UPSTREAM_TIMEOUT, "connecting timed out", detail=detail) from exc
        except (OSError, UnicodeError) as exc:
            detail = f"{self._address.target}: {exc}"
            message = "the upstream cannot be reached"
            raise SessionError(ErrorCode.UPSTREAM_UNREACHABLE, message, detail=detail) from exc

    async def aclose(self) -> None:
        """Refuse new calls, end those under way and return when they have ended. Idempotent."""
        self._closed = True
        while self._dialling:
            self._settled = asyncio.get_running_loop().create_future()
            for deadline in self._dialling:
                if not deadline.expired():
                    deadline.reschedule(0.0)
            await self._settled

    def _done_with(self, deadline: asyncio.Timeout) -> None:
        self._dialling.discard(deadline)
        if not self._dialling and self._settled is not None and not self._settled.done():
            self._settled.set_result(None)

    async def _connect(self, factory: Callable[[], P]) -> P:
        loop = asyncio.get_running_loop()
        if self._address.path:
            _, protocol = await loop.create_unix_connection(factory, self._address.path)
            return protocol
        candidates = await self._permitted()
        give_up = loop.time() + self._connect_timeout_s
        for left in range(len(candidates), 1, -1):
            try:
                async with asyncio.timeout((give_up - loop.time()) / left):
                    return await self._connect_to(candidates[-left], factory)
            except OSError:  # and TimeoutError, which is one: on to the next address
                continue
        return await self._connect_to(candidates[-1], factory)

    async def _permitted(self) -> list[Resolved]:
        """What the name resolves to and may be dialled, in the resolver's order; never empty."""
        host, port = self._address.host, self._address.port
        found = await resolve(host, port)
        permitted = [each for each in found if self._permits(host, port, str(each.at[0]))]
        if not permitted:
            addresses = ", ".join(sorted({str(each.at[0]) for each in found}))
            detail = f"{self._address.target} resolves to {addresses or 'nothing'}"
            raise SessionError(ErrorCode.FORBIDDEN, "dialling this upstream is not allowed", detail=detail)
        return permitted

    async def _connect_to(self, resolved: Resolved, factory: Callable[[], P]) -> P:
        """Connect the very address that was permitted: no name is looked up again."""
        loop = asyncio.get_running_loop()
        family, at = resolved
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            keep_alive(sock)
            await loop.sock_connect(sock, at)
            _, protocol = await loop.create_connection(
                factory, sock=sock, ssl=self._ssl_context, server_hostname=self._server_name
            )
        except BaseException:
            sock.close()
            raise
        return protocol


def _closed() -> SessionError:
    return SessionError(ErrorCode.REFUSED, "the upstream is closed")
