"""The ``[limits]`` table."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from tunnel.domain.configuration.mistakes import key_path, mistake
from tunnel.domain.findings import Findings
from tunnel.domain.limits import KIB, MIB, Limits

__all__ = ["LimitsSettings"]

_GIB = 1024 * MIB

_ANNOUNCED: Final = Limits()
"""Its defaults are these."""

_Seconds = Annotated[float, Meta(ge=0, le=3600)]
_Deadline = Annotated[float, Meta(ge=0.1, le=300)]
_Window = Annotated[int, Meta(ge=8 * KIB, le=16 * MIB)]


class LimitsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one side accepts, and how long it waits. Sizes are bytes, times seconds.

    Args:
        session_window_bytes: Credit a session direction starts with.
        session_window_max_bytes: What that credit may grow to.
        tunnel_receive_bytes: Sum of the windows of a tunnel's open sessions; further openings are ``overloaded``.
        replay_window_bytes: Sent and unacknowledged; beyond it the sender waits.
        max_header_bytes: Head of a request or response.
        max_headers: Header fields of a request or response.
        max_sessions: Open sessions of one tunnel; further openings are ``refused``.
        max_links: Tunnels of one client process.
        heartbeat_s: Interval of heartbeats; a link is dead after three without a sign of life.
        handshake_s: From the link's start to the end of the handshake.
        connect_s: For dialling one address.
        resume_s: How long a tunnel whose link was lost waits for another, with all that goes on inside; of both sides'
            values the smaller counts. 0: not at all.
        drain_s: How long running sessions may take to finish at shutdown.
        drain_delay_s: How long to go on accepting after the signal to stop, for load balancers to notice.

    Source: docs/reference/protocol.md, limits.
    """

    session_window_bytes: _Window = _ANNOUNCED.session_window_bytes
    session_window_max_bytes: _Window = _ANNOUNCED.session_window_max_bytes
    tunnel_receive_bytes: Annotated[int, Meta(ge=MIB, le=_GIB)] = _ANNOUNCED.tunnel_receive_bytes
    replay_window_bytes: Annotated[int, Meta(ge=256 * KIB, le=256 * MIB)] = _ANNOUNCED.replay_window_bytes
    max_header_bytes: Annotated[int, Meta(ge=KIB, le=MIB)] = _ANNOUNCED.max_header_bytes
    max_headers: Annotated[int, Meta(ge=1, le=10_000)] = _ANNOUNCED.max_headers
    max_sessions: Annotated[int, Meta(ge=1, le=1_000_000)] = _ANNOUNCED.max_sessions
    max_links: Annotated[int, Meta(ge=1, le=1_000)] = _ANNOUNCED.max_links
    heartbeat_s: _Deadline = _ANNOUNCED.heartbeat_s
    handshake_s: _Deadline = 10.0
    connect_s: _Deadline = 5.0
    resume_s: _Seconds = _ANNOUNCED.resume_s
    drain_s: _Seconds = 10.0
    drain_delay_s: _Seconds = 0.0

    def limits(self) -> Limits:
        """What this side announces to its peers."""
        return Limits(
            session_window_bytes=self.session_window_bytes,
            session_window_max_bytes=self.session_window_max_bytes,
            tunnel_receive_bytes=self.tunnel_receive_bytes,
            replay_window_bytes=self.replay_window_bytes,
            max_header_bytes=self.max_header_bytes,
            max_headers=self.max_headers,
            max_sessions=self.max_sessions,
            max_links=self.max_links,
            heartbeat_s=self.heartbeat_s,
            resume_s=self.resume_s,
        )

    def check(self, path: str, found: Findings) -> None:
        """Refuse limits that contradict each other; each names its key below ``path``."""
        window = self.session_window_bytes
        for key in ("session_window_max_bytes", "tunnel_receive_bytes"):
            with found:
                if getattr(self, key) < window:
                    expected = f"at least session_window_bytes ({window})"
                    raise mistake(key_path(path, key), expected, got=getattr(self, key))
