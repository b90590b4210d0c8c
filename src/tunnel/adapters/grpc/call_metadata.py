"""Metadata of calls, between gRPC's pairs of key and value and the flat blocks of envelopes.

gRPC for Python has values of keys that end in ``-bin`` as bytes and all others as text. Blocks have bytes throughout.
What comes from the tunnel's other end is checked here: gRPC's core says of metadata that it does not like no more than
that it failed, and writes the rest to the process's standard error.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, TypeAlias

from tunnel.domain.envelopes import Headers
from tunnel.domain.errors import ErrorCode, SessionError

__all__ = ["Metadata", "block_of", "metadata_of", "without"]

Metadata: TypeAlias = tuple[tuple[str, str | bytes], ...]

_KEY: Final = re.compile(rb"[0-9a-z_.-]+")
_KEY_BYTES: Final = 1024
_VALUE: Final = re.compile(rb"[\x20-\x7e]*")
"""Source: gRPC over HTTP2, Custom-Metadata."""

_LIBRARYS_OWN: Final = frozenset(
    b"user-agent te content-type grpc-timeout grpc-encoding grpc-accept-encoding grpc-status grpc-message".split()
)
"""What the library says of each hop by itself."""

_OF_A_CONNECTION: Final = frozenset(b"connection keep-alive proxy-connection transfer-encoding upgrade host".split())
"""What HTTP/2 does not have, or has in a field of its own; gRPC's server lets it pass, and a target may refuse the call
for it or, where it speaks HTTP/1.1 to another, believe it. Source: RFC 9113 sections 8.2.2 and 8.3.1."""

_NAMES: Final = 1024
"""Keys that are remembered. There are few; what visitors make up drives out the oldest."""

_LEFT_OUT: Final = _LIBRARYS_OWN | _OF_A_CONNECTION


def block_of(pairs: Iterable[tuple[str, str | bytes]]) -> Headers:
    """What gRPC received, as a block."""
    return tuple(
        part for key, value in pairs for part in (key.encode(), value if isinstance(value, bytes) else value.encode())
    )


def metadata_of(block: Headers, wrong: ErrorCode = ErrorCode.PROTOCOL_ERROR) -> Metadata:
    """A block as gRPC sends it, without what the library says by itself or belongs to a connection.

    Args:
        block: Of a call or of an answer.
        wrong: The code when gRPC cannot carry it, which is the mistake of whoever said it.

    Raises:
        SessionError: ``wrong``.
    """
    if not block:
        return ()
    pairs: list[tuple[str, str | bytes]] = []
    for key, value in zip(block[::2], block[1::2], strict=True):
        if key in _LEFT_OUT:
            continue
        name, binary = _name(key) if len(key) <= _KEY_BYTES else ("", False)
        if not name or not (binary or _VALUE.fullmatch(value)):
            raise SessionError(wrong, "the metadata cannot be carried by gRPC")
        pairs.append((name, value if binary else value.decode("ascii")))
    return tuple(pairs)


@lru_cache(maxsize=_NAMES)
def _name(key: bytes) -> tuple[str, bool]:
    """``key`` as gRPC has it, empty where it can have no such; and whether its values are bytes."""
    return (key.decode("ascii") if _KEY.fullmatch(key) else ""), key.endswith(b"-bin")


def without(block: Headers, keys: frozenset[bytes]) -> Headers:
    """``block`` but for ``keys``, given in lower case."""
    if keys.isdisjoint(block[::2]):
        return block
    return tuple(
        part for key, value in zip(block[::2], block[1::2], strict=True) if key not in keys for part in (key, value)
    )
