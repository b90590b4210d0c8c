"""Where a conversation has been before: the tokens of those that sent it on directly.

Each process has a token of its own, and adds it to what it sends on past the tunnel. A conversation that comes in with
the token of the process it comes to has gone in a circle: over addresses that do not show it, such as a proxy's, or
over the entries of others. Tokens are random, so nobody's request goes in a circle by accident.

The field is our own and not ``Via`` (RFC 9110 section 7.6.3): common servers do not compress what has been through a
proxy, and a fallback is to change no answer.
"""

from __future__ import annotations

from typing import Final

import msgspec

from tunnel.domain.envelopes import GrpcFrame, Headers, HttpRequest, Opening

__all__ = ["HOPS_FIELD", "has_passed", "with_hop"]

HOPS_FIELD: Final = b"tunnel-hops"
"""Holds tokens, separated by commas, in order; may be repeated. Of gRPC calls likewise in their metadata."""


def has_passed(head: Opening, token: bytes) -> bool:
    """Whether the process that has ``token`` sent this on before. TCP cannot tell.

    Args:
        head: As an ingress makes it, the names of its fields in lower case.
        token: Of a process.
    """
    fields = _fields(head)
    # Nearly always there is none, and this finds that out without looking at each by itself.
    if HOPS_FIELD not in fields:
        return False
    flat = iter(fields)
    return any(name == HOPS_FIELD and token in value for name, value in zip(flat, flat, strict=True))


def with_hop(head: Opening, token: bytes) -> Opening:
    """``head`` as the process that has ``token`` sends it on."""
    added = (HOPS_FIELD, token)
    match head:
        case HttpRequest():
            return msgspec.structs.replace(head, headers=head.headers + added)
        case GrpcFrame():
            return msgspec.structs.replace(head, metadata=head.metadata + added)
        case _:
            return head


def _fields(head: Opening) -> Headers:
    match head:
        case HttpRequest():
            return head.headers
        case GrpcFrame():
            return head.metadata
        case _:
            return ()
