"""Which way a conversation went from an entry, and how its answer says so."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from tunnel.domain.envelopes import GrpcFrame, Headers, HttpResponse, SessionPayload

__all__ = ["ROUTE_FIELD", "Route", "told"]

ROUTE_FIELD: Final = b"tunnel-route"
"""Of the answer's head; of a gRPC call in its initial metadata, or the trailing ones of a call that has no others."""


class Route(StrEnum):
    """A way out of an entry."""

    TUNNEL = "tunnel"
    """Through the tunnel."""
    DIRECT = "direct"
    """Past it."""


def told(payload: SessionPayload, route: Route) -> SessionPayload:
    """The beginning of an answer, saying ``route``; what an upstream says there itself is replaced."""
    match payload:
        case HttpResponse():
            return msgspec.structs.replace(payload, headers=_with(payload.headers, route))
        case GrpcFrame():
            return msgspec.structs.replace(payload, metadata=_with(payload.metadata, route))
        case _:
            return payload


def _with(fields: Headers, route: Route) -> Headers:
    names = [name.lower() for name in fields[::2]]
    if ROUTE_FIELD in names:
        kept = [fields[2 * index : 2 * index + 2] for index, name in enumerate(names) if name != ROUTE_FIELD]
        fields = tuple(part for pair in kept for part in pair)
    return (*fields, ROUTE_FIELD, route.value.encode())
