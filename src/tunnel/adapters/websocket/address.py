"""Socket addresses as text."""

from __future__ import annotations

from typing import Any

__all__ = ["format_address", "parse_address"]


def format_address(address: Any) -> str:
    """``host:port`` of a socket's address, IPv6 in brackets; empty when there is none."""
    match address:
        case (str(host), int(port), *_):
            return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        case _:
            return ""


def parse_address(text: str) -> tuple[str, int]:
    """Host, without brackets, and port of ``host:port``.

    Raises:
        ValueError: It is not of that form.
    """
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError("an IPv6 address needs brackets")
    if not host or not colon or not (port.isascii() and port.isdigit()) or int(port) > 65_535:
        raise ValueError("expected host:port")
    return host, int(port)
