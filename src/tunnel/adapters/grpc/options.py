"""Options of channels and servers, and the names of the service."""

from __future__ import annotations

from typing import Final, TypeAlias

__all__ = [
    "CHANNEL_OPTIONS",
    "CONFIG_SYNC",
    "FAREWELL",
    "PROXY",
    "REGISTER",
    "SERVER_OPTIONS",
    "SERVICE",
    "TRANSPORT_METADATA",
    "Options",
    "ingress_options",
    "upstream_options",
]

Options: TypeAlias = tuple[tuple[str, int | str], ...]

SERVICE: Final = "tunnel.v1.TunnelService"
REGISTER: Final = "Register"
CONFIG_SYNC: Final = "ConfigSync"
PROXY: Final = "Proxy"

TRANSPORT_METADATA: Final = ("tunnel-transport", "v1")
"""In the server's metadata, initial and trailing: tells a stream that was accepted from a refusal whose status is still
to come, also when nothing is shown any more but its end."""

FAREWELL: Final = b"\xf8\x7f\x01"
"""A client's last message before it closes its half in order: a ``TunnelFrame`` of nothing but field 2047, which who
does not know it takes for an empty frame. grpc.aio shows a server the loss of a client and its orderly close alike."""

_MESSAGE_BYTES: Final = 1024 * 1024
"""Largest message gRPC lets through. Well above the largest frame, so that a frame which is somewhat too large is found
out by the link, which can say so on both sides; a server's stream that gRPC itself cuts merely looks broken there."""

_LINK_WINDOW_BYTES: Final = 8 * 1024 * 1024
"""How much of a link gRPC takes in that nobody reads. What it would choose by itself grows on a busy machine, beyond
24 MiB; less than this would limit the rate on long ways."""

_NEVER_MS: Final = 2**31 - 1

_IDENTITY_ONLY: Final = 1
"""The set of compression algorithms that has no other than none."""

_COMMON: Final = (
    ("grpc.max_send_message_length", _MESSAGE_BYTES),
    ("grpc.max_receive_message_length", _MESSAGE_BYTES),
    # Heartbeats are the tunnel's own and the same on every transport.
    ("grpc.keepalive_time_ms", _NEVER_MS),
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", _LINK_WINDOW_BYTES),
    # Frames are not compressed. One that was would be inflated before anybody knows who sent it.
    ("grpc.compression_enabled_algorithms_bitset", _IDENTITY_ONLY),
)

CHANNEL_OPTIONS: Final[Options] = (
    *_COMMON,
    # A connection of its own for each link, with its own state of backoff.
    ("grpc.use_local_subchannel_pool", 1),
    # A stream that was retried behind our back would lose frames.
    ("grpc.enable_retries", 0),
    # gRPC's own idea of the environment; which proxy leads to a server is decided elsewhere.
    ("grpc.enable_http_proxy", 0),
    # Saves the DNS query for a service configuration in TXT records.
    ("grpc.service_config_disable_resolution", 1),
)

_CONNECTIONS: Final = ("grpc.max_allowed_incoming_connections", 20_000)
"""Of one listener, those that shake hands included; further ones are closed. gRPC has no bound for handshakes alone."""

SERVER_OPTIONS: Final = (
    *_COMMON,
    _CONNECTIONS,
    # Two servers on one port would each get part of the clients.
    ("grpc.so_reuseport", 0),
    # A client needs one stream for a link, and a few for diagnostics.
    ("grpc.max_concurrent_streams", 16),
    # Those who connect and then do nothing.
    ("grpc.server_handshake_timeout_ms", 10_000),
    ("grpc.max_connection_idle_ms", 60_000),
)

_VISITOR_SILENT_MS: Final = 60_000
"""A visitor with calls under way that is silent for this long is asked whether it is there."""

_VISITOR_ANSWER_MS: Final = 20_000

_VISITOR_CALLS: Final = 1000
"""Calls under way of one connection; gRPC's clients let more of them wait. So it takes more than one visitor to have
all the calls that an ingress serves, and the memory of as many messages on their way in."""

_TARGET_SILENT_MS: Final = 320_000
"""A target with calls under way that is silent for this long is asked whether it is there. gRPC's servers end
connections on which they are asked more often than every five minutes."""

_TARGET_ANSWER_MS: Final = 20_000
"""How long a target may take for that, and, on Linux, to acknowledge what it was sent."""

_CALL_WINDOW_BYTES: Final = 1024 * 1024
"""How much of a call gRPC takes in that nobody has asked for; more only to complete a message that was asked for. What
gRPC would choose by itself follows its estimate of the connection, which on a busy machine becomes 16 MiB and more."""

_IDLE_AT_LEAST_MS: Final = 1000
"""gRPC keeps idle connections for no less."""


def ingress_options(*, max_message_bytes: int, max_header_bytes: int) -> Options:
    """Options of a server for visitors' calls."""
    return (
        *_limits(max_message_bytes, max_header_bytes),
        _CONNECTIONS,
        ("grpc.so_reuseport", 0),
        ("grpc.max_concurrent_streams", _VISITOR_CALLS),
        # It would refuse some calls of those who begin one as soon as another has ended.
        ("grpc.http.overload_protection", 0),
        ("grpc.server_handshake_timeout_ms", 10_000),
        ("grpc.keepalive_time_ms", _VISITOR_SILENT_MS),
        ("grpc.keepalive_timeout_ms", _VISITOR_ANSWER_MS),
        # Visitors may ask in their turn, as often as they like. How often is too often is for their application to
        # say, which cannot be asked; gRPC would end their calls for asking more than every five minutes.
        ("grpc.http2.max_ping_strikes", 0),
    )


def upstream_options(
    *, max_message_bytes: int, max_header_bytes: int, authority: str, idle_s: float, server_name: str | None
) -> Options:
    """Options of a channel to a target, dialled by its address.

    Args:
        max_message_bytes: Largest message taken.
        max_header_bytes: Largest metadata taken.
        authority: The host that the target sees.
        idle_s: How long the connection is kept without calls; at least a second.
        server_name: For TLS: the name asked for and verified.
    """
    named: Options = () if server_name is None else (("grpc.ssl_target_name_override", server_name),)
    return (
        *_limits(max_message_bytes, max_header_bytes),
        *named,
        ("grpc.default_authority", authority),
        ("grpc.keepalive_time_ms", _TARGET_SILENT_MS),
        ("grpc.keepalive_timeout_ms", _TARGET_ANSWER_MS),
        ("grpc.client_idle_timeout_ms", max(_IDLE_AT_LEAST_MS, int(idle_s * 1000))),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_http_proxy", 0),
        ("grpc.service_config_disable_resolution", 1),
    )


def _limits(max_message_bytes: int, max_header_bytes: int) -> Options:
    return (
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", -1),
        # Between the two, metadata would be refused at random.
        ("grpc.max_metadata_size", max_header_bytes),
        ("grpc.absolute_max_metadata_size", max_header_bytes),
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", _CALL_WINDOW_BYTES),
    )
