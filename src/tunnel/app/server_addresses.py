"""Where a client looks for a server, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

__all__ = ["ServerAddresses"]

_SAME_SERVER_S: Final = 5.0
"""After a loss: how long only the server that has the other end of the tunnel is looked for."""


class ServerAddresses:
    """The configured addresses, and which server process answered last at each.

    Args:
        urls: In order of preference.
    """

    def __init__(self, urls: Sequence[str]) -> None:
        self._urls = tuple(urls)
        self._seen: dict[str, str] = {}

    def answered(self, url: str, server_id: str) -> None:
        """A server process has answered at ``url``."""
        self._seen[url] = server_id

    def in_order(self) -> tuple[str, ...]:
        """Where to look for any server."""
        return self._urls

    def of(self, server_id: str, *, lost_for_s: float) -> tuple[str, ...]:
        """Where to look for the server process that has the other end of a tunnel.

        For five seconds only where it was seen last, then elsewhere too: it may be reached by another address, and any
        other server cannot know the tunnel.

        Args:
            server_id: Which process.
            lost_for_s: Since when the tunnel has no link, in seconds.

        Source: docs/reference/protocol.md, R22.
        """
        same = tuple(url for url in self._urls if self._seen.get(url) == server_id)
        if lost_for_s < _SAME_SERVER_S:
            return same
        return same + tuple(url for url in self._urls if url not in same)
