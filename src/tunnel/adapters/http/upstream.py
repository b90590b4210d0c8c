"""The HTTP/1.1 upstream: answers conversations by asking a web server, over kept-alive connections.

WebSocket conversations have connections of their own; see ``WebSocketUpstream``.

A connection carries one exchange at a time and goes back to the pool when both sides of it are over. Whatever else
happens, the visitor leaving, a cut response, a body longer than announced, closes the connection: only an exchange that
ended well leaves it in a known state.

A connection that is kept alive may be closed by the web server at any moment, so a request may meet one that is closed
already. It is repeated, once and on a new connection, if that cannot do harm:

1. not a byte of an answer has come;
2. the method is idempotent, since the web server may have acted before it closed (RFC 9110 section 9.2.2);
3. all of what was sent is at hand: the whole body came with the head, or no more of it was taken from the visitor.

Any other request is given only to a connection of which the operating system knows nothing new.
"""

from __future__ import annotations

from typing import Final

from tunnel.adapters.http.upstream_address import UpstreamAddress
from tunnel.adapters.http.upstream_connection import StaleConnection, UpstreamConnection
from tunnel.adapters.http.upstream_deadlines import Deadlines
from tunnel.adapters.http.upstream_dialer import Permits, UpstreamDialer
from tunnel.adapters.http.upstream_pool import UpstreamPool
from tunnel.adapters.http.upstream_request import HeadRenderer, without_expectation
from tunnel.adapters.http.upstream_response import ResponseReader
from tunnel.adapters.http.upstream_tls import tls_context
from tunnel.adapters.http.upstream_upload import UpstreamUpload
from tunnel.adapters.http.upstream_websocket import WebSocketUpstream
from tunnel.domain.configuration import UpstreamTlsSettings
from tunnel.domain.envelopes import HttpRequest
from tunnel.domain.errors import ConfigurationError, ErrorCode, SendingStopped, SessionError
from tunnel.domain.expectation import awaits_permission
from tunnel.domain.limits import KIB, MIB
from tunnel.domain.retries import IDEMPOTENT_METHODS
from tunnel.ports.target import Stream, UpstreamTarget

__all__ = ["HttpUpstream"]

_DEFAULT_TLS: Final = UpstreamTlsSettings()


class HttpUpstream(UpstreamTarget):
    """Answers HTTP and WebSocket conversations from one web server.

    Belongs to the event loop (asyncio's) it is first used on.

    Responses are forwarded as they arrive, whatever their content type; a slow visitor slows the web server down and
    memory stays flat.

    Args:
        target: ``http://host[:port]``, ``https://host[:port]`` or ``unix:/path``.
        permits: Asked with host, port and each address the host resolved to; only permitted ones are dialled. Not
            asked for socket files.
        connect_timeout_s: Seconds for name, connect and TLS together; also for waiting until a connection is free.
        first_byte_timeout_s: Seconds from the end of the request to the head of the response; None: no limit.
        keepalive_s: Seconds an idle connection stays usable; less where the web server allows less. 0: not reused.
        host_header: None keeps the visitor's Host; ``"target"`` puts the target's authority; else this literal.
        tls: What https requires of the web server.
        max_connections: Most connections at the same time, WebSockets apart.
        max_waiting: Most requests that wait for one.
        max_idle: Most idle connections kept.
        max_header_bytes: Largest head of a response, and largest trailers.
        max_headers: Most fields of either.
        max_message_bytes: Largest WebSocket message that is taken from the web server.

    Raises:
        ConfigurationError: ``target``, ``host_header`` or ``tls.ca`` is malformed.
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
        tls: UpstreamTlsSettings = _DEFAULT_TLS,
        max_connections: int = 1000,
        max_waiting: int = 1000,
        max_idle: int = 256,
        max_header_bytes: int = 64 * KIB,
        max_headers: int = 200,
        max_message_bytes: int = 16 * MIB,
    ) -> None:
        self._address = UpstreamAddress.parse(target)
        self._heads = HeadRenderer(host=_host_override(host_header, self._address))
        self._first_byte_timeout_s = first_byte_timeout_s
        self._first_bytes: Deadlines[UpstreamConnection] = Deadlines(UpstreamConnection.overdue)
        self._max_header_bytes = max_header_bytes
        self._max_headers = max_headers
        self._pool = UpstreamPool(
            keepalive_s=keepalive_s,
            max_idle=max_idle,
            max_connections=max_connections,
            max_waiting=max_waiting,
            wait_s=connect_timeout_s,
        )
        self._dialer = UpstreamDialer(
            self._address,
            permits=permits,
            connect_timeout_s=connect_timeout_s,
            ssl_context=tls_context(tls) if self._address.tls else None,
            server_name=tls.server_name,
        )
        self._websockets = WebSocketUpstream(
            label=self._address.target,
            dialer=self._dialer,
            heads=self._heads,
            first_bytes=self._first_bytes,
            first_byte_timeout_s=first_byte_timeout_s,
            max_message_bytes=max_message_bytes,
            max_header_bytes=max_header_bytes,
            max_headers=max_headers,
        )
        self._closed = False
        self._http10 = False
        """Of the last that was to ask for a body. HTTP/1.0 cannot, so the next body is not held back for it."""

    @property
    def target(self) -> str:
        """As configured."""
        return self._address.target

    @property
    def open_connections(self) -> int:
        """Connections open now, idle or not."""
        return self._pool.open_connections + self._websockets.open_connections

    @property
    def idle_connections(self) -> int:
        """Connections open and waiting for a request."""
        return self._pool.idle_connections

    async def handle(self, stream: Stream) -> None:
        """Answer one conversation.

        Cancelling it, or the visitor wanting no more of the response, closes the connection at once unless the
        exchange with the web server is over already.

        Raises:
            SessionError: ``upstream_unreachable``, ``upstream_timeout``, ``forbidden``; ``overloaded``: all connections
                are busy; ``bad_request``, ``protocol_error``: the request cannot be forwarded; ``refused``: closed, and
                nothing was sent.
        """
        head = stream.head
        if not isinstance(head, HttpRequest) or head.protocol != "http":
            if isinstance(head, HttpRequest) and head.protocol == "websocket":
                await self._websockets.handle(stream, head)
                return
            raise SessionError(ErrorCode.PROTOCOL_ERROR, "this upstream answers HTTP and WebSocket only")
        expectant = not head.end and awaits_permission(head)
        if expectant and self._http10:
            head = without_expectation(head)
        block, length_bytes = self._heads.render(head)
        idempotent = head.method in IDEMPOTENT_METHODS
        connection = self._pool.checkout()
        if connection is None or not (idempotent or connection.quiet):
            connection = await self._obtain(connection, idempotent=idempotent)
        while True:
            upload: UpstreamUpload | None = None
            if head.end:
                connection.ask(block + head.body, head_request=head.method == "HEAD", whole=True)
            else:
                upload = UpstreamUpload(stream, connection, head, block, length_bytes=length_bytes)
            use = connection.uses
            try:
                end = False
                while not end:
                    await connection.arrival()
                    while not end and (envelope := connection.take()) is not None:
                        end = envelope.end
                        if end:
                            self._pool.give_back(connection)  # before the last envelope is sent, which may take long
                        await stream.send(envelope)
                return
            except SendingStopped:
                return
            except StaleConnection as exc:
                stale = exc
            finally:
                if connection.busy and connection.uses == use:  # it may serve another by now
                    self._pool.give_back(connection)
                if upload is not None:
                    if expectant:
                        self._http10 = connection.http10
                    await upload.stop()
            if not (idempotent and connection.at_hand):
                raise stale
            self._pool.replace(connection)
            connection = await self._dial()

    async def aclose(self) -> None:
        """Close every connection; conversations under way fail. Returns when the sockets are closed. Idempotent."""
        self._closed = True
        await self._dialer.aclose()
        await self._websockets.aclose()
        await self._pool.aclose()
        self._first_bytes.take_all()

    async def _obtain(self, unfit: UpstreamConnection | None, *, idempotent: bool) -> UpstreamConnection:
        """Another one than ``unfit``: idle, or dialled, or where there are enough the next that is given back."""
        connection = unfit
        while connection is not None:
            connection.abort()
            connection = self._pool.checkout()
            if connection is not None and (idempotent or connection.quiet):
                return connection
        if not self._pool.reserve():
            connection = await self._pool.wait()
            if connection is not None:
                if connection.usable and (idempotent or connection.quiet):
                    return connection
                self._pool.replace(connection)
        return await self._dial()

    async def _dial(self) -> UpstreamConnection:
        """A new connection, for which a place is reserved."""
        try:
            connection = await self._dialer.dial(self._connection)
        except BaseException:
            self._pool.vacate()
            raise
        self._pool.place(connection)
        if self._closed:
            connection.abort()
            raise SessionError(ErrorCode.REFUSED, "the upstream is closed")
        return connection

    def _connection(self) -> UpstreamConnection:
        return UpstreamConnection(
            label=self._address.target,
            response=ResponseReader(max_header_bytes=self._max_header_bytes, max_headers=self._max_headers),
            on_lost=self._pool.lost,
            first_bytes=self._first_bytes,
            first_byte_timeout_s=self._first_byte_timeout_s,
        )


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
