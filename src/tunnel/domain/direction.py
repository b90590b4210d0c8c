"""Which way a conversation goes between the two ends of a tunnel."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Direction"]


class Direction(StrEnum):
    """Named by the end that answers."""

    TO_CLIENT = "to_client"
    """From a visitor of the server to an upstream behind a client."""
    TO_SERVER = "to_server"
    """From an entry of a client to a forward upstream of the server."""
