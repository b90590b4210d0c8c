"""The HTTP/1.1 upstream: answers conversations by asking a web server, over kept-alive connections.

A connection carries one exchange at a time and goes back to the pool when both sides of it are over. Whatever else
happens, the visitor leaving, a cut response, a body longer than announced, closes the connection: only an exchange that
ended well leaves it in a known state.
"""

from __future__ import annotations

import asyncio
import ssl
from functools import cache

from tunnel.adapters.http.upstream_address import UpstreamAddress
from tunnel.adapters.http.upstream_connection import UpstreamConnection
from tunnel.adapters.http.upstream_dialer import Permits, UpstreamDialer
from tunnel.adapters.http.upstream_pool import UpstreamPool
from tunnel.adapters.http.upstream_request import render_head
from tunnel.adapters.http.upstream_upload import UpstreamUpload
from tunnel.domain.envelopes import HttpRequest
from tunnel.domain.errors import ConfigurationError, ErrorCode, SendingStopped, SessionError
from tunnel.domain.limits import KIB
from tunnel.domain.retries import IDEMPOTENT_METHODS
from tunnel.ports.target import Stream, UpstreamTarget

__all__ = ["HttpUpstream"]


class HttpUpstream(UpstreamTarget):
    """Answers HTTP conversations from one web server. Belongs to the event loop (asyncio's) it is first used on.

    Responses are forwarded as they arrive, whatever their content type; a slow visitor slows the web server down and
    memory stays flat. A request that is whole and idempotent is repeated once, on a new connection, when an old one
    turns out to have been closed by the web server without a byte of an answer.

    Args:
        target: ``http://host[:port]``, ``https://host[:port]`` or ``unix:/path``.
        permits: Asked with host, port and each address the host resolved to; only permitted ones are dialled. Not
            asked for socket files.
        connect_timeout_s: Seconds for name, connect and TLS together.
        first_byte_timeout_s: Seconds from the end of the request to the head of the response; None: no limit.
        keepalive_s: Seconds an idle connection stays usable; below what the web server allows. 0: not reused.
        host_header: None keeps the visitor's Host; ``"target"`` puts the target's authority; else this literal.
        ssl_context: For https; None: the system's certificates, verified.
        max_idle: Most idle connections kept.
        max_header_bytes: Largest head of a response, and largest trailers.

    Raises:
        ConfigurationError: ``target`` or ``host_header`` is malformed.
    """

    def __init__(
        self,
        *,
        target: str,
        permits: Permits,
        connect_timeout_s: float = 5.0,
        first_byte_timeout_s: float | None = None,
        keepalive_s: float = 4.0,
        host_header: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
        max_idle: int = 256,
        max_header_bytes: int = 64 * KIB,
    ) -> None:
        self._address = UpstreamAddress.parse(target)
        self._first_byte_timeout_s = first_byte_timeout_s
        self._host = _host_override(host_header, self._address)
        self._max_header_bytes = max_header_bytes
        self._pool = UpstreamPool(keepalive_s=keepalive_s, max_idle=max_idle)
        self._dialer = UpstreamDialer(
            self._address,
            permits=permits,
            connect_timeout_s=connect_timeout_s,
            ssl_context=(ssl_context or _verifying_context()) if self._address.tls else None,
        )
        self._closed = False

    @property
    def target(self) -> str:
        """As configured."""
        return self._address.target

    @property
    def open_connections(self) -> int:
        """Connections open now, idle or not."""
        return self._pool.open_connections

    @property
    def idle_connections(self) -> int:
        """Connections open and waiting for a request."""
        return self._pool.idle_connections

    async def handle(self, stream: Stream) -> None:
        """Answer one conversation.

        Cancelling it, or the visitor wanting no more of the response, closes the connection at once unless the
        exchange with the web server is over already.

        Raises:
            SessionError: ``upstream_unreachable``, ``upstream_timeout``, ``forbidden``; ``bad_request``,
                ``protocol_error``: the request cannot be forwarded; ``refused``: closed, and nothing was sent.
        """
        head = stream.head
        if not isinstance(head, HttpRequest) or head.protocol != "http":
            raise SessionError(ErrorCode.PROTOCOL_ERROR, "this upstream answers HTTP requests only")
        block, length_bytes = render_head(head, host=self._host)
        repeatable = head.end and head.method in IDEMPOTENT_METHODS
        connection = self._checkout(repeatable=repeatable) or await self._dial()
        try:
            await self._exchange(stream, connection, block, length_bytes=length_bytes)
        except SessionError:
            if not (repeatable and connection.went_stale):
                raise
        else:
            return
        await self._exchange(stream, await self._dial(), block, length_bytes=length_bytes)

    async def aclose(self) -> None:
        """Close every connection; conversations under way fail. Returns when the sockets are closed. Idempotent."""
        self._closed = True
        await self._dialer.aclose()
        await self._pool.aclose()

    def _checkout(self, *, repeatable: bool) -> UpstreamConnection | None:
        while (connection := self._pool.checkout()) is not None:
            if repeatable or connection.quiet:
                return connection
            connection.abort()
        return None

    async def _dial(self) -> UpstreamConnection:
        connection = await self._dialer.dial(self._connection)
        if self._closed:
            connection.abort()
            raise SessionError(ErrorCode.REFUSED, "the upstream is closed")
        return connection

    def _connection(self) -> UpstreamConnection:
        return UpstreamConnection(
            label=self._address.target,
            max_header_bytes=self._max_header_bytes,
            on_made=self._pool.adopt,
            on_lost=self._pool.forget,
        )

    async def _exchange(
        self, stream: Stream, connection: UpstreamConnection, block: bytes, *, length_bytes: int
    ) -> None:
        head = stream.head
        assert isinstance(head, HttpRequest)
        connection.begin(head_request=head.method == "HEAD")
        exchange = connection.uses
        uploading: asyncio.Task[None] | None = None
        try:
            connection.write(block + head.body if head.end and head.body else block)
            if head.end:
                connection.sent(first_byte_timeout_s=self._first_byte_timeout_s)
            else:
                uploading = self._start_upload(stream, connection, head.body, length_bytes=length_bytes)
            await self._forward_response(stream, connection)
        finally:
            if connection.busy and connection.uses == exchange:  # it may serve another by now
                self._release(connection)
            if uploading is not None:
                await _stop(uploading)

    def _start_upload(
        self, stream: Stream, connection: UpstreamConnection, first: bytes, *, length_bytes: int
    ) -> asyncio.Task[None]:
        """Write what came with the head; the rest is written by a task, while the response may come already."""

        def ended(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and (failure := task.exception()) is not None:
                connection.fail(failure)

        upload = UpstreamUpload(connection, length_bytes=length_bytes)
        if first:
            upload.write(first, end=False)
        pumping = upload.pump(stream, first_byte_timeout_s=self._first_byte_timeout_s)
        task = asyncio.get_running_loop().create_task(pumping)
        task.add_done_callback(ended)
        return task

    async def _forward_response(self, stream: Stream, connection: UpstreamConnection) -> None:
        """Send on what arrives. The connection is free for others before the last envelope is sent."""
        while True:
            envelope = connection.take()
            if envelope is None:
                await connection.readable()
                continue
            end = envelope.end
            if end:
                self._release(connection)
            try:
                await stream.send(envelope)
            except SendingStopped:
                return
            if end:
                return

    def _release(self, connection: UpstreamConnection) -> None:
        """Keep the connection if its exchange is over on both sides, close it otherwise. Once per exchange."""
        if connection.finished and not self._closed:
            self._pool.put(connection)
        else:
            connection.busy = False
            connection.abort()


async def _stop(task: asyncio.Task[None]) -> None:
    """Cancel ``task`` and return when it has ended, even when cancelled meanwhile; that is raised afterwards."""
    task.cancel()
    interruption: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError as exc:
            interruption = exc
    if interruption is not None:
        raise interruption


@cache
def _verifying_context() -> ssl.SSLContext:
    """One for the process: each takes about a megabyte and some milliseconds to read the system's certificates."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _host_override(host_header: str | None, address: UpstreamAddress) -> bytes | None:
    if host_header is None:
        return None
    if host_header == "target":
        return address.authority
    if not host_header or not host_header.isascii() or any(c.isspace() or not c.isprintable() for c in host_header):
        raise ConfigurationError(
            f"expected a host, optionally with a port, got {host_header!r}", key_path="host_header"
        )
    return host_header.encode("ascii")
