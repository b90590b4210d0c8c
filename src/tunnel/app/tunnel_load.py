"""What tunnels hold, added up in steps between which everybody else has a turn."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import anyio.lowlevel

from tunnel.app.tunnel import Tunnel
from tunnel.domain.mux.budget import Budget
from tunnel.ports.inspection import ProcessLoad, Stats, TunnelView

__all__ = ["TunnelLoad", "tunnel_view"]

_STEP: Final = 250
"""Tunnels or sessions that are looked at in one go: below a millisecond."""


class TunnelLoad:
    """Adds up what tunnels hold.

    Attributes:
        tunnels: Looked at.
        sessions: Not finished.
        handlers: Conversations opened by the peer that are being handled.
        waiting: What waits for the next frame.
        unframed_bytes: Cost of what waits to be framed.
        retained_frames: Frames sent and not acknowledged.
        retained_bytes: Their cost.
        unread_bytes: Cost of what arrived and waits to be read.
        round_trips_s: Of those whose round trip is known, in seconds.
    """

    def __init__(self) -> None:
        self.tunnels = 0
        self.sessions = 0
        self.handlers = 0
        self.waiting = 0
        self.unframed_bytes = 0
        self.retained_frames = 0
        self.retained_bytes = 0
        self.unread_bytes = 0
        self.round_trips_s: list[float] = []
        self._looked_at = 0

    async def add(self, tunnels: Iterable[Tunnel]) -> None:
        """Look at each of ``tunnels`` and at all of its sessions."""
        for tunnel in tunnels:
            mux = tunnel.mux
            self.tunnels += 1
            self.sessions += mux.session_count
            self.handlers += tunnel.handlers
            self.waiting += mux.queued
            self.retained_frames += mux.retained_frames
            self.retained_bytes += mux.retained_bytes
            round_trip_s = mux.measured_round_trip_s
            if round_trip_s is not None:
                self.round_trips_s.append(round_trip_s)
            await self._step()
            for session in mux.sessions():
                self.unframed_bytes += session.unframed_bytes
                self.unread_bytes += session.unread_bytes
                await self._step()

    def stats(self, *, links: int, waiting_requests: int, budget: Budget, process: ProcessLoad) -> Stats:
        """What has been added up, beside what others know.

        Args:
            links: That are open.
            waiting_requests: Conversations that no tunnel has yet.
            budget: Of the tunnels' receive windows.
            process: What the process holds.
        """
        return Stats(
            links=links,
            tunnels=self.tunnels,
            sessions=self.sessions,
            handlers=self.handlers,
            waiting_requests=waiting_requests,
            waiting_sends=self.waiting,
            unframed_bytes=self.unframed_bytes,
            retained_frames=self.retained_frames,
            retained_bytes=self.retained_bytes,
            unread_bytes=self.unread_bytes,
            promised_bytes=budget.reserved_bytes,
            tasks=process.tasks,
            open_files=process.open_files,
        )

    async def _step(self) -> None:
        self._looked_at += 1
        if self._looked_at % _STEP == 0:
            await anyio.lowlevel.checkpoint()


def tunnel_view(
    tunnel: Tunnel, *, tunnel_id: str, state: str, published: bool, config_version: int, config_hash: str
) -> TunnelView:
    """A tunnel for those who look at it.

    Args:
        tunnel: The tunnel.
        tunnel_id: Its id.
        state: How it stands to links.
        published: Whether it is given new sessions.
        config_version: Of the configuration applied.
        config_hash: Of the same.
    """
    mux, peer = tunnel.mux, tunnel.peer
    return TunnelView(
        tunnel_id=tunnel_id,
        transport=None if peer is None else peer.transport,
        address=None if peer is None else peer.address,
        state=state,
        published=published,
        sessions=mux.session_count,
        round_trip_s=mux.measured_round_trip_s,
        promised_bytes=mux.reserved_bytes,
        retained_bytes=mux.retained_bytes,
        config_version=config_version,
        config_hash=config_hash,
    )
