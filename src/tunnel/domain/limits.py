"""The limits a peer announces when a tunnel is registered, and the constants of the wire."""

from __future__ import annotations

from typing import Final

import msgspec

__all__ = [
    "COST_OVERHEAD_BYTES",
    "MAX_CHUNK_COST",
    "MAX_FRAME_BYTES",
    "MAX_TEXT_CHARS",
    "MAX_UNFINISHED_HEADS",
    "Limits",
]

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

MAX_FRAME_BYTES = 256 * KIB
"""Largest encoded frame in any codec on any transport, so that every frame can be replayed on every transport."""

COST_OVERHEAD_BYTES = 256
"""Added to an envelope's bytes to make its cost. Part of the wire protocol: both ends must charge alike."""

MAX_CHUNK_COST = 64 * KIB
"""Largest cost of one envelope of a session, so that no session holds a link for long."""

MAX_TEXT_CHARS = 1024
"""Most that is sent, and kept of what is received, of a text for people: the message or the detail of an error."""

MAX_UNFINISHED_HEADS = 64
"""Openings of one side whose parts are still to come. Part of the wire protocol: the opener waits, and one that does
not is refused, because until a head is whole no handler watches over what it holds."""

_RANGES: Final[dict[str, tuple[float, float]]] = {
    "max_frame_bytes": (MAX_FRAME_BYTES, MAX_FRAME_BYTES),
    "session_window_bytes": (8 * KIB, 16 * MIB),
    "session_window_max_bytes": (8 * KIB, 16 * MIB),
    "tunnel_receive_bytes": (MIB, GIB),
    "replay_window_bytes": (256 * KIB, 256 * MIB),
    "max_grpc_message_bytes": (KIB, GIB),
    "max_websocket_message_bytes": (KIB, GIB),
    "max_header_bytes": (KIB, MIB),
    "max_headers": (1, 10_000),
    "max_sessions": (1, 10**6),
    "max_links": (1, 1000),
    "heartbeat_s": (0.1, 300.0),
    "resume_s": (0.0, 3600.0),
}
"""Least and most that may be announced."""


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

    def problem(self) -> str | None:
        """What is wrong with the first limit that is out of its range; None when a tunnel can run within all of them.

        For what a peer announced: values from the wire are not checked by anything else.
        """
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            # NaN is in no range, and infinity above them all.
            if not least <= value <= most:
                return f"{name} is {value}, and has to be from {least} to {most}"
        if self.session_window_max_bytes < self.session_window_bytes:
            return (
                f"session_window_max_bytes is {self.session_window_max_bytes}, "
                f"less than session_window_bytes, {self.session_window_bytes}"
            )
        return None
