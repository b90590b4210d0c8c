"""Statuses of gRPC calls as statuses of HTTP, so that one setting judges both."""

from __future__ import annotations

from typing import Final

__all__ = ["http_status"]

_HTTP: Final = (200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401)
"""By status from 0, OK, to 16, UNAUTHENTICATED."""

_UNKNOWN: Final = 500


def http_status(status: int) -> int:
    """The status of HTTP that says the same as ``status`` of a gRPC call: 503 for UNAVAILABLE, 500 for UNKNOWN.

    Source: google.rpc.Code, HTTP Mapping.
    """
    return _HTTP[status] if 0 <= status < len(_HTTP) else _UNKNOWN
