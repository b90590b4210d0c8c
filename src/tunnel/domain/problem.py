"""Failures as HTTP answers: problem documents.

Source: RFC 9457.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Final

from tunnel.domain.envelopes import Headers, HttpResponse
from tunnel.domain.error_statuses import HTTP_STATUS
from tunnel.domain.errors import SessionError
from tunnel.domain.reason_phrases import REASON_PHRASES
from tunnel.domain.refusal import Refusal

__all__ = ["PROBLEM_STATUS", "RETRY_AFTER_S", "problem"]

PROBLEM_STATUS: Final = HTTP_STATUS
"""The status each code is answered with, unless the caller knows better (431 rather than 413, 501)."""

RETRY_AFTER_S: Final = 1
"""What Retry-After says on 503: clients come back, and bursts pass, within about a second."""


def problem(error: SessionError, *, status: int | None = None, request_id: bytes = b"") -> HttpResponse:
    """The whole answer that tells a visitor of ``error``.

    Tells ``error.code`` and ``error.message`` only, never ``error.detail``, which is for operators. Is not to be kept
    by caches. Whoever writes the answer to a HEAD request leaves the body out, as with any other answer.

    Args:
        error: What failed.
        status: HTTP status; None means that of a ``Refusal``, else the one in ``PROBLEM_STATUS``.
        request_id: Name of the request; empty when it has none.

    Returns:
        An ``HttpResponse`` with ``end`` whose body is a JSON object ``{"type", "title", "status", "code"}`` and, where
        there are a message and a name, ``"detail"`` and ``"request_id"``.

    Source: RFC 9457 section 3; ``type`` is about:blank, so ``title`` is the status phrase (section 4.2.1).
    """
    told: Headers = ()
    if isinstance(error, Refusal):
        told = error.headers
        status = error.status if status is None else status
    number = PROBLEM_STATUS[error.code] if status is None else status
    document: dict[str, str | int] = {
        "type": "about:blank",
        "title": REASON_PHRASES.get(number, "Refused"),
        "status": number,
        "code": error.code.value,
    }
    if error.message:
        document["detail"] = error.message
    if request_id:
        document["request_id"] = request_id.decode()
    body = json.dumps(document).encode()
    headers: Headers = (
        b"content-type",
        b"application/problem+json",
        b"content-length",
        b"%d" % len(body),
        b"cache-control",
        b"no-store",
    )
    if told:
        headers += told
    elif number == HTTPStatus.SERVICE_UNAVAILABLE:
        headers += (b"retry-after", b"%d" % RETRY_AFTER_S)
    elif number == HTTPStatus.UNAUTHORIZED:
        headers += (b"www-authenticate", b"Bearer")  # RFC 9110 section 15.5.2: a 401 names a scheme
    return HttpResponse(number, headers, body, end=True)
