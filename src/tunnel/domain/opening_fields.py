"""Header fields of an opening, whatever protocol it is of: of HTTP the headers, of gRPC the metadata."""

from __future__ import annotations

from msgspec.structs import replace

from tunnel.domain.envelopes import GrpcFrame, Headers, HttpRequest, Opening

__all__ = ["opening_fields", "with_fields"]


def opening_fields(head: Opening) -> Headers:
    """The fields; of a TCP conversation there are none."""
    if isinstance(head, HttpRequest):
        return head.headers
    return head.metadata if isinstance(head, GrpcFrame) else ()


def with_fields(head: Opening, fields: Headers) -> Opening:
    """``head`` with other fields; a TCP conversation stays as it is.

    What ``tunnel.domain.call_head`` puts first into the metadata of a call has to stay first.
    """
    if isinstance(head, HttpRequest):
        return replace(head, headers=fields)
    return replace(head, metadata=fields) if isinstance(head, GrpcFrame) else head
