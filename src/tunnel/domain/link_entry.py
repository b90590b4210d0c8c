"""How a client asks for a link where visitors' requests come in too."""

from __future__ import annotations

from typing import Final

__all__ = ["LINK_PATH", "LINK_SUBPROTOCOL"]

LINK_PATH: Final = "/.well-known/tunnel"
"""The path of links on an ingress. A name that no application has by accident (RFC 8615)."""

LINK_SUBPROTOCOL: Final = "tunnel.v1"
"""The WebSocket subprotocol of links, on any listener."""
