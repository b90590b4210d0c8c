"""Options of channels and servers, and the names of the service."""

from __future__ import annotations

from typing import Final

__all__ = [
    "CHANNEL_OPTIONS",
    "CONFIG_SYNC",
    "FAREWELL",
    "PROXY",
    "REGISTER",
    "SERVER_OPTIONS",
    "SERVICE",
    "TRANSPORT_METADATA",
]

SERVICE: Final = "tunnel.v1.TunnelService"
REGISTER: Final = "Register"
CONFIG_SYNC: Final = "ConfigSync"
PROXY: Final = "Proxy"

TRANSPORT_METADATA: Final = ("tunnel-transport", "v1")
"""In the server's initial metadata: tells a stream that was accepted from a refusal whose status is still to come."""

FAREWELL: Final = b"\xf8\x7f\x01"
"""A client's last message before it closes its half in order: a ``TunnelFrame`` of nothing but field 2047, which who
does not know it takes for an empty frame. grpc.aio shows a server the loss of a client and its orderly close alike."""

_MESSAGE_BYTES: Final = 1024 * 1024
"""Largest message gRPC lets through. Well above the largest frame, so that a frame which is somewhat too large is found
out by the link, which can say so on both sides; a server's stream that gRPC itself cuts merely looks broken there."""

_NEVER_MS: Final = 2**31 - 1

_COMMON: Final = (
    ("grpc.max_send_message_length", _MESSAGE_BYTES),
    ("grpc.max_receive_message_length", _MESSAGE_BYTES),
    # Heartbeats are the tunnel's own and the same on every transport.
    ("grpc.keepalive_time_ms", _NEVER_MS),
)

CHANNEL_OPTIONS: Final = (
    *_COMMON,
    # A connection of its own for each link, with its own state of backoff.
    ("grpc.use_local_subchannel_pool", 1),
    # A stream that was retried behind our back would lose frames.
    ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0),
    # Saves the DNS query for a service configuration in TXT records.
    ("grpc.service_config_disable_resolution", 1),
)

SERVER_OPTIONS: Final = (
    *_COMMON,
    # Two servers on one port would each get part of the clients.
    ("grpc.so_reuseport", 0),
    # A client needs one stream for a link, and a few for diagnostics.
    ("grpc.max_concurrent_streams", 16),
    # Those who connect and then do nothing.
    ("grpc.server_handshake_timeout_ms", 10_000),
    ("grpc.max_connection_idle_ms", 60_000),
)
