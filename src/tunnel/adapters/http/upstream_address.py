"""Where an HTTP upstream is."""

from __future__ import annotations

from typing import Self

import msgspec

from tunnel.domain.configuration.target_url import parse_target

__all__ = ["UpstreamAddress"]


class UpstreamAddress(msgspec.Struct, frozen=True):
    """One place that answers HTTP/1.1.

    Args:
        target: As configured.
        host: Name or address literal, without brackets; empty for a socket file.
        port: Given, or the scheme's own; 0 for a socket file.
        authority: What a Host header naming this place holds; ``localhost`` for a socket file.
        path: The socket file; empty for the others.
        tls: Whether TLS is spoken.
    """

    target: str
    host: str
    port: int
    authority: bytes
    path: str = ""
    tls: bool = False

    @classmethod
    def parse(cls, target: str) -> Self:
        """Read a target as configured.

        Raises:
            ConfigurationError: As ``parse_target``.
        """
        url = parse_target(target)
        return cls(
            target=target,
            host=url.host,
            port=url.port,
            authority=url.authority.encode("ascii"),
            path=url.socket_path,
            tls=url.scheme == "https",
        )
