"""A request in the forms that predicates are compared in."""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote_to_bytes

from tunnel.domain.envelopes import HttpRequest
from tunnel.domain.kinds import Headers

__all__ = ["MAX_PARAMETERS", "RoutedRequest"]

MAX_PARAMETERS: Final = 1000
"""Query parameters that rules look at; further ones could be used to keep this process busy."""


class RoutedRequest:
    """What rules ask of a request beyond its host; fields and parameters are taken apart when first asked for.

    Args:
        head: As received.
        path: Its path in normal form.
    """

    __slots__ = ("_fields", "_head", "_parameters", "method", "path", "protocol")

    def __init__(self, head: HttpRequest, path: bytes) -> None:
        self.path = path
        self.method = head.method
        self.protocol = head.protocol
        self._head = head
        self._fields: dict[bytes, bytes] | None = None
        self._parameters: dict[bytes, bytes] | None = None

    @property
    def fields(self) -> dict[bytes, bytes]:
        """Header fields by lower-case name; repeated ones joined by ``, `` (RFC 9110 section 5.2)."""
        if self._fields is None:
            self._fields = _joined(self._head.headers)
        return self._fields

    @property
    def parameters(self) -> dict[bytes, bytes]:
        """Query parameters by name, decoded as application/x-www-form-urlencoded; the first of each name."""
        if self._parameters is None:
            self._parameters = _first_of_each(self._head.query or b"")
        return self._parameters


def _joined(headers: Headers) -> dict[bytes, bytes]:
    fields: dict[bytes, bytes] = {}
    for name, value in zip(headers[::2], headers[1::2], strict=False):
        key = name.lower()
        fields[key] = value if key not in fields else fields[key] + b", " + value
    return fields


def _first_of_each(query: bytes) -> dict[bytes, bytes]:
    parameters: dict[bytes, bytes] = {}
    for pair in query.split(b"&", MAX_PARAMETERS)[:MAX_PARAMETERS]:
        if pair:
            name, _, value = pair.partition(b"=")
            parameters.setdefault(_decoded(name), _decoded(value))
    return parameters


def _decoded(text: bytes) -> bytes:
    # A broken escape stands for itself (URL Standard, application/x-www-form-urlencoded parsing).
    return unquote_to_bytes(text.replace(b"+", b" "))
