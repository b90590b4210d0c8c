"""``use = "request_id"``: a name for each request, in a field of your choice."""

from __future__ import annotations

import re
import secrets
from itertools import count
from typing import ClassVar, Final

import msgspec

from tunnel.domain.envelopes import Headers
from tunnel.domain.middleware.header_edits import check_field_name, first_field, without_fields
from tunnel.domain.opening_fields import opening_fields, with_fields
from tunnel.ports.middleware import Middleware
from tunnel.ports.stream_around import EditedStream
from tunnel.ports.target import ProxyTarget, Stream

__all__ = ["RequestIdMiddleware", "RequestIdOptions"]

_WELL_FORMED: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,128}")


class RequestIdOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[middleware.NAME]``.

    Args:
        header: Name of the field.
        keep: Whether a well-formed name that the request comes with is kept.
        answer: Whether the answer tells the name too.
    """

    header: str = "x-request-id"
    keep: bool = False
    answer: bool = True


class RequestIdMiddleware(Middleware):
    """Names requests. Where the name is the ingress's own ``X-Request-Id``, that of the ingress wins in the answer.

    Args:
        options: How.

    Raises:
        ConfigurationError: ``header`` is no name of a field.

    Source: Envoy, ``generate_request_id`` and ``preserve_external_request_id``.
    """

    Options: ClassVar[type[msgspec.Struct]] = RequestIdOptions
    protocols: ClassVar[frozenset[str]] = frozenset({"http", "grpc", "websocket"})

    def __init__(self, options: RequestIdOptions) -> None:
        check_field_name(options.header, "header")
        self._field = options.header.lower().encode()
        self._fields = frozenset({self._field})
        self._keep = options.keep
        self._answer = options.answer
        self._form = secrets.token_hex(8).encode() + b"-%x"
        self._next = count(1).__next__

    async def handle(self, stream: Stream, target: ProxyTarget) -> None:
        head = stream.head
        fields = opening_fields(head)
        given = first_field(fields, self._field) if self._keep else None
        name = given if given is not None and _WELL_FORMED.fullmatch(given) else self._form % self._next()
        head = with_fields(head, (*without_fields(fields, self._fields), self._field, name))

        def told(answer: Headers) -> Headers:
            return (*without_fields(answer, self._fields), self._field, name)

        await target.handle(EditedStream(stream, head=head, edit=told if self._answer else None))
