"""Names of requests, by which one is found again in everybody's logs: the field ``X-Request-Id``.

A name that a visitor gives is kept where it is well formed: 1 to 128 of the characters that tokens are made of, so that
it can stand in a log line as it is. Any other request is given a name of ours: a prefix that is drawn once for the
process, and a number. Without the prefix nobody can guess a name; with it, from an answer, anybody can.

Names in gRPC metadata are the same field, in lower case as always; ``identify`` serves both.

Source: RFC 9110 section 5.6.2 for tokens; X-Request-Id itself is de facto.
"""

from __future__ import annotations

import re
from itertools import count
from typing import Final

from tunnel.domain.envelopes import GrpcFrame, Headers, HttpRequest, Opening

__all__ = ["REQUEST_ID", "RequestIds", "request_id_of"]

REQUEST_ID: Final = b"x-request-id"

_WELL_FORMED: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,128}").fullmatch


class RequestIds:
    """Gives names to requests.

    Args:
        prefix: Random, drawn for this process; visible ASCII characters of tokens, at most 64.
    """

    __slots__ = ("_form", "_next")

    def __init__(self, prefix: str) -> None:
        self._form = prefix.encode().replace(b"%", b"%%") + b"-%x"
        self._next = count(1).__next__

    def identify(self, headers: Headers, *, keep: bool) -> tuple[bytes, Headers]:
        """The name of a request, and its fields with that name in the field's place, or at the end.

        Args:
            headers: Of the request, names in lower case.
            keep: Whether a well-formed name that it comes with is kept. One of several never is.
        """
        created = self._form % self._next()
        if REQUEST_ID not in headers:
            return created, (*headers, REQUEST_ID, created)
        given = [position for position in range(0, len(headers), 2) if headers[position] == REQUEST_ID]
        if not given:  # it is somebody's value
            return created, (*headers, REQUEST_ID, created)
        value = headers[given[0] + 1]
        if keep and len(given) == 1 and _WELL_FORMED(value):
            return value, headers
        changed = list(headers)
        changed[given[0] + 1] = created
        for position in reversed(given[1:]):
            del changed[position : position + 2]
        return created, tuple(changed)


def request_id_of(head: Opening) -> str:
    """The name under which a conversation travels; empty when it has none, or none that could stand in a log line.

    Args:
        head: Its opening, as it is forwarded.
    """
    fields = head.headers if type(head) is HttpRequest else head.metadata if type(head) is GrpcFrame else ()
    names = fields[::2]
    if REQUEST_ID not in names:
        return ""
    value = fields[2 * names.index(REQUEST_ID) + 1]
    return value.decode() if _WELL_FORMED(value) else ""
