"""What a server holds of conversations, by its own figures."""

from __future__ import annotations

import tunnel

__all__ = ["held"]

FIGURES = (
    "sessions",
    "handlers",
    "waiting_requests",
    "waiting_sends",
    "unframed_bytes",
    "unread_bytes",
    "promised_bytes",
)
"""All that is zero when nothing is under way, but for what waits for an acknowledgement: that takes its time."""


async def held(server: tunnel.Server) -> dict[str, int]:
    """Those that are not zero."""
    stats = await server._inspection.stats()
    return {name: value for name in FIGURES if (value := getattr(stats, name))}
