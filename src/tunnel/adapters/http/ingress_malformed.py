"""Input that is no request, and the last that its visitor hears."""

from __future__ import annotations

import httptools

from tunnel.adapters.http.ingress_head import HeadersTooLarge
from tunnel.adapters.http.ingress_response import ResponseRules
from tunnel.adapters.http.ingress_wire import render_head
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.problem import problem

__all__ = ["PipelineFull", "last_answer", "reason"]


class PipelineFull(Exception):
    """Raised through the parser, so that it does not go on to the requests that follow."""


def reason(error: httptools.HttpParserError) -> tuple[SessionError, int]:
    """What to tell of what stopped the parser: a callback that raised, or its own findings.

    Returns:
        The error, and the HTTP status.
    """
    cause = error.__context__
    if isinstance(cause, HeadersTooLarge):
        return cause, 431
    return SessionError(ErrorCode.BAD_REQUEST, "the request is malformed"), 400


def last_answer(error: SessionError, status: int, *, request_id: bytes) -> bytes:
    """A whole response, after which the connection is closed.

    Args:
        error: What is wrong.
        status: Of HTTP.
        request_id: Name of what would have been the request; empty when it has none.
    """
    answer = problem(error, status=status, request_id=request_id)
    headers, body = ResponseRules("", request_id).head(answer)
    return render_head(status, headers, b"connection: close\r\n") + body
