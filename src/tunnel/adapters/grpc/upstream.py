"""The gRPC upstream: answers conversations by calling a gRPC server, over few connections."""

from __future__ import annotations

import asyncio
import re
from typing import Final

import grpc
import grpc.aio

from tunnel.adapters.grpc.call_habits import CallHabits
from tunnel.adapters.grpc.call_metadata import metadata_of
from tunnel.adapters.grpc.client_stream import BytesCall
from tunnel.adapters.grpc.options import upstream_options
from tunnel.adapters.grpc.upstream_call import UpstreamCall, WholeCall
from tunnel.adapters.grpc.upstream_connection import Connector, Permits
from tunnel.adapters.grpc.upstream_tls import channel_credentials
from tunnel.domain.call_head import CallHead
from tunnel.domain.configuration import UpstreamTlsSettings, parse_target
from tunnel.domain.envelopes import GrpcFrame, GrpcFrameType
from tunnel.domain.errors import ErrorCode, SendingStopped, SessionError
from tunnel.domain.limits import KIB, MIB
from tunnel.ports.target import Stream, UpstreamTarget

__all__ = ["GrpcUpstream"]

_DEFAULT_TLS: Final = UpstreamTlsSettings()

_PATH: Final = re.compile(rb"/[\x21-\x7e]+/[\x21-\x2e\x30-\x7e]+")

_LONGEST_S: Final = 27_000 * 3600.0
"""Of a deadline: what gRPC's core says of longer ones. Some clients say 292 years for none, and gRPC for Python, which
reckons in nanoseconds since 1970, takes what ends after 2262 for past."""

_TOO_LATE: Final = GrpcFrame(
    GrpcFrameType.TRAILER.value, status=grpc.StatusCode.DEADLINE_EXCEEDED.value[0], message="Deadline Exceeded"
)
"""What gRPC itself says of a call whose deadline has passed."""


class GrpcUpstream(UpstreamTarget):
    """Answers gRPC calls from one server. Belongs to the event loop (asyncio's) it is first used on.

    A slow visitor slows the server down, and memory stays flat: of each call a message is held in each direction.

    Args:
        target: ``grpc://host:port`` or, over TLS, ``grpcs://host:port``.
        permits: Asked with host, port and each address the host resolved to; only permitted ones are dialled.
        connect_timeout_s: Seconds for name, connect, TLS and HTTP/2 together.
        first_byte_timeout_s: Seconds from the end of the request to the first of the answer; None: no limit.
        keepalive_s: Seconds the connection is kept without calls; at least one.
        host_header: The authority that the server sees; None and ``"target"``: the target's own.
        tls: What ``grpcs:`` requires of the server.
        max_message_bytes: Largest message, in either direction.
        max_header_bytes: Largest metadata of an answer.

    Raises:
        ConfigurationError: ``target`` or ``tls`` is malformed.
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
        max_message_bytes: int = 64 * MIB,
        max_header_bytes: int = 64 * KIB,
    ) -> None:
        url = parse_target(target)
        secure = url.scheme == "grpcs"
        credentials = channel_credentials(tls) if secure else None
        # gRPC wants the authority to be one that the certificate is for.
        authority = f"{tls.server_name}:{url.port}" if secure and tls.server_name else url.authority
        options = upstream_options(
            max_message_bytes=max_message_bytes,
            max_header_bytes=max_header_bytes,
            authority=authority if host_header in (None, "target") else host_header,
            idle_s=keepalive_s,
            server_name=(tls.server_name or url.host) if secure else None,
        )

        def make(address: str) -> grpc.aio.Channel:
            if credentials is None:
                return grpc.aio.insecure_channel(address, options=options)
            return grpc.aio.secure_channel(address, credentials, options=options)

        self._target = target
        self._first_byte_timeout_s = first_byte_timeout_s
        self._max_message_bytes = max_message_bytes
        self._answers = CallHabits()
        self._connector = Connector(
            target=target,
            host=url.host,
            port=url.port,
            permits=permits,
            connect_timeout_s=connect_timeout_s,
            make=make,
        )

    @property
    def target(self) -> str:
        """As configured."""
        return self._target

    @property
    def open_connections(self) -> int:
        """Connections open now."""
        return self._connector.open_connections

    async def handle(self, stream: Stream) -> None:
        """Answer one call.

        Cancelling it, or the visitor wanting no more of the answer, cancels the call at the server at once.

        Raises:
            SessionError: ``upstream_unreachable``, ``upstream_timeout``, ``forbidden``; ``too_large``: a message of
                the request; ``protocol_error``: the conversation is no gRPC call; ``bad_request``: its path or its
                metadata cannot be forwarded; ``refused``: closed, and nothing was sent.
        """
        head = stream.head
        if type(head) is not GrpcFrame:
            raise SessionError(ErrorCode.PROTOCOL_ERROR, "this upstream answers gRPC calls only")
        call = CallHead.of(head)
        path = call.path
        if not _PATH.fullmatch(path):
            raise SessionError(ErrorCode.BAD_REQUEST, "the call has a malformed path")
        metadata = metadata_of(call.metadata, ErrorCode.BAD_REQUEST)
        now = asyncio.get_running_loop().time
        deadline = None if call.timeout_s is None else now() + min(call.timeout_s, _LONGEST_S)
        connection = await self._connector.acquire()
        try:
            left_s = None if deadline is None else deadline - now()
            if left_s is not None and left_s <= 0:
                await stream.send(_TOO_LATE)
                return
            if call.message is not None and len(call.message) > self._max_message_bytes:
                raise SessionError(ErrorCode.TOO_LARGE, f"a message is larger than {self._max_message_bytes} bytes")
            method = path.decode()
            begun: BytesCall | WholeCall
            if call.message is None:
                begun = connection.channel.stream_stream(method, None, None)(None, timeout=left_s, metadata=metadata)
            else:
                single = connection.channel.unary_stream(method, None, None)
                begun = single(call.message, timeout=left_s, metadata=metadata)
            relayed = UpstreamCall(
                begun,
                stream,
                max_message_bytes=self._max_message_bytes,
                first_byte_timeout_s=self._first_byte_timeout_s,
                expect_single=self._answers.single(path),
                label=self._target,
            )
            await relayed.relay()
            if relayed.lagged:
                self._answers.in_vain(path)
            elif relayed.messages == 1:
                self._answers.saw_single(path)
        except SendingStopped:
            return
        finally:
            self._connector.release(connection)

    async def aclose(self) -> None:
        """Close every connection; calls under way fail. Returns when they are closed. Idempotent."""
        await self._connector.aclose()
