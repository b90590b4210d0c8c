"""A response as envelopes, made of what has arrived of it."""

from __future__ import annotations

from typing import Final, TypeAlias

from tunnel.adapters.http.upstream_response import ResponseReader
from tunnel.domain.envelopes import BodyChunk, HttpResponse, Trailers
from tunnel.domain.limits import COST_OVERHEAD_BYTES, MAX_CHUNK_COST

__all__ = ["ResponseEnvelope", "take_envelope"]

ResponseEnvelope: TypeAlias = HttpResponse | BodyChunk | Trailers

_WHOLE_BYTES: Final = MAX_CHUNK_COST - COST_OVERHEAD_BYTES
"""A response that took fewer on the wire fits into one envelope, which leaves out what separates its fields."""

_END: Final = BodyChunk(b"", True)


def take_envelope(response: ResponseReader, *, first: bool) -> ResponseEnvelope | None:
    """The next envelope of a response, with all of its body that has arrived; None when there is nothing new.

    A small response that is complete is one envelope. Otherwise the head goes first, then the body; the last envelope
    has ``end``. Not called after that.

    Args:
        response: Where the body is taken from.
        first: The head was not taken yet.
    """
    if first:
        if not response.status:
            return None
        if response.complete and response.heard_bytes < _WHOLE_BYTES and not response.trailers:
            return HttpResponse(response.status, response.headers, response.take_body(), True)
        return HttpResponse(response.status, response.headers)
    if response.size_bytes:
        return BodyChunk(response.take_body(), response.complete and not response.trailers)
    if response.complete:
        return Trailers(response.trailers) if response.trailers else _END
    return None
