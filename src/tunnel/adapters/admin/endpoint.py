"""One thing that can be asked for, with all that its documentation says of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from tunnel.adapters.admin.answer import JSON, Answer
from tunnel.adapters.admin.query import Parameter, Query

__all__ = ["Asked", "Endpoint"]


class Asked(msgspec.Struct, frozen=True):
    """A request for an endpoint.

    Args:
        query: Its parameters.
        accept: Its Accept field; empty: none.
    """

    query: Query
    accept: str


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A resource that is only read.

    Args:
        path: Exact.
        name: For generated clients.
        summary: What it shows.
        answer: Makes an answer; concurrently with itself.
        shows: Types of its JSON, one of which an answer is; none for other media types.
        media_type: Of what it shows.
        statuses: That tell something else than an error.
        parameters: What may be asked of it.
        public: Whether it is shown without a token.
    """

    path: str
    name: str
    summary: str
    answer: Callable[[Asked], Awaitable[Answer]]
    shows: tuple[type, ...] = ()
    media_type: str = JSON
    statuses: tuple[int, ...] = (200,)
    parameters: tuple[Parameter, ...] = ()
    public: bool = False
