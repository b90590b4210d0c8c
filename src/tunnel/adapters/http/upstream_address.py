"""Where an HTTP upstream is: the parsed form of ``http://``, ``https://`` and ``unix:`` targets."""

from __future__ import annotations

from typing import Final
from urllib.parse import SplitResult, urlsplit

import msgspec

from tunnel.domain.errors import ConfigurationError

__all__ = ["UpstreamAddress", "parse_target"]

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_EXPECTED: Final = "expected http://HOST[:PORT], https://HOST[:PORT] or unix:/PATH"


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


def parse_target(target: str) -> UpstreamAddress:
    """Read a target as configured.

    Raises:
        ConfigurationError: It is none, or has parts that a target cannot have: path, query, fragment, credentials.
    """
    scheme, colon, rest = target.partition(":")
    if colon and scheme == "unix":
        return _socket_file(target, rest)
    try:
        parts = urlsplit(target)
        port = parts.port
    except ValueError as exc:
        raise ConfigurationError(f"{_EXPECTED}, got {_shown(target)}: {exc}") from exc
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or port == 0:
        raise ConfigurationError(f"{_EXPECTED}, got {_shown(target)}")
    _check_nothing_else(target, parts)
    literal = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return UpstreamAddress(
        target=target,
        host=parts.hostname,
        port=port or _DEFAULT_PORTS[parts.scheme],
        authority=_ascii(target, f"{literal}:{port}" if port else literal),
        tls=parts.scheme == "https",
    )


def _socket_file(target: str, path: str) -> UpstreamAddress:
    if not path.startswith("/") or "\0" in path:
        raise ConfigurationError(f"expected unix: and an absolute path, got {target!r}")
    return UpstreamAddress(target=target, host="", port=0, authority=b"localhost", path=path)


def _check_nothing_else(target: str, parts: SplitResult) -> None:
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError("a target cannot hold credentials")
    if parts.path or parts.query or parts.fragment or target.endswith(("?", "#")):
        raise ConfigurationError(f"a target has no path, query or fragment: {_EXPECTED}, got {_shown(target)}")
    if any(character.isspace() for character in target):
        raise ConfigurationError(f"{_EXPECTED}, got {target!r}")


def _ascii(target: str, authority: str) -> bytes:
    try:
        return authority.encode("ascii" if authority.isascii() else "idna")
    except UnicodeError as exc:
        raise ConfigurationError(f"{_EXPECTED}, got {_shown(target)}: {exc}") from exc


def _shown(target: str) -> str:
    """The target as it may stand in a message: credentials in it are secrets."""
    return "a URL with credentials" if "@" in target else repr(target)
