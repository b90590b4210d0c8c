"""The limits a peer announces when a tunnel is registered, and the constants of the wire."""

from __future__ import annotations

import msgspec

__all__ = ["COST_OVERHEAD_BYTES", "MAX_CHUNK_COST", "MAX_FRAME_BYTES", "Limits"]

KIB = 1024
MIB = 1024 * KIB

MAX_FRAME_BYTES = 256 * KIB
"""Largest encoded frame in any codec on any transport, so that every frame can be replayed on every transport."""

COST_OVERHEAD_BYTES = 256
"""Added to an envelope's bytes to make its cost. Part of the wire protocol: both ends must charge alike."""

MAX_CHUNK_COST = 64 * KIB
"""Largest cost of one envelope of a session, so that no session holds a link for long."""


class Limits(msgspec.Struct, frozen=True, array_like=True, gc=False, kw_only=True):
    """What one side accepts. Each side enforces what it announced.

    Fields are append-only on the wire. Sizes are bytes, times seconds.

    Source: docs/reference/protocol.md, limits; proto message ``Limits``.
    """

    max_frame_bytes: int = MAX_FRAME_BYTES
    session_window_bytes: int = 64 * KIB
    session_window_max_bytes: int = 4 * MIB
    tunnel_receive_bytes: int = 256 * MIB
    replay_window_bytes: int = 8 * MIB
    max_grpc_message_bytes: int = 64 * MIB
    max_websocket_message_bytes: int = 16 * MIB
    max_header_bytes: int = 64 * KIB
    max_headers: int = 200
    max_sessions: int = 20_000
    max_links: int = 16
    heartbeat_s: float = 5.0
    resume_s: float = 30.0

    @property
    def chunk_cost(self) -> int:
        """Largest cost of one envelope of a session sent towards the side that announced these limits."""
        return min(MAX_CHUNK_COST, self.session_window_bytes // 4)
