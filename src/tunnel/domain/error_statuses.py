"""What each error code is to a visitor, by protocol, when nothing of an answer has come yet.

Source: docs/reference/protocol.md, error codes; RFC 9110 section 15; the status codes of gRPC.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tunnel.domain.errors import ErrorCode

__all__ = ["GRPC_STATUS", "HTTP_STATUS"]

HTTP_STATUS: Final[Mapping[ErrorCode, int]] = {
    ErrorCode.BAD_REQUEST: 400,
    ErrorCode.ROUTE_NOT_FOUND: 404,
    ErrorCode.NO_CLIENT: 503,
    ErrorCode.PEER_LOST: 502,
    ErrorCode.UPSTREAM_UNREACHABLE: 502,
    ErrorCode.UPSTREAM_TIMEOUT: 504,
    ErrorCode.TOO_LARGE: 413,
    ErrorCode.OVERLOADED: 503,
    ErrorCode.UNAUTHENTICATED: 401,
    ErrorCode.FORBIDDEN: 403,
    ErrorCode.PROTOCOL_ERROR: 502,
    ErrorCode.FLOW_CONTROL: 502,
    ErrorCode.REFUSED: 502,
    ErrorCode.SUPERSEDED: 502,
    ErrorCode.CANCELLED: 502,
    ErrorCode.INTERNAL: 500,
    ErrorCode.LOOP_DETECTED: 508,  # RFC 5842 section 7.2
}
"""Of HTTP, and of a refused WebSocket handshake."""

GRPC_STATUS: Final[Mapping[ErrorCode, int]] = {
    ErrorCode.BAD_REQUEST: 3,  # INVALID_ARGUMENT
    ErrorCode.ROUTE_NOT_FOUND: 12,  # UNIMPLEMENTED
    ErrorCode.NO_CLIENT: 14,  # UNAVAILABLE
    ErrorCode.PEER_LOST: 14,
    ErrorCode.UPSTREAM_UNREACHABLE: 14,
    ErrorCode.UPSTREAM_TIMEOUT: 4,  # DEADLINE_EXCEEDED
    ErrorCode.TOO_LARGE: 8,  # RESOURCE_EXHAUSTED
    ErrorCode.OVERLOADED: 8,
    ErrorCode.UNAUTHENTICATED: 16,  # UNAUTHENTICATED
    ErrorCode.FORBIDDEN: 7,  # PERMISSION_DENIED
    ErrorCode.PROTOCOL_ERROR: 13,  # INTERNAL
    ErrorCode.FLOW_CONTROL: 13,
    ErrorCode.REFUSED: 14,
    ErrorCode.SUPERSEDED: 14,
    ErrorCode.CANCELLED: 1,  # CANCELLED
    ErrorCode.INTERNAL: 13,
    ErrorCode.LOOP_DETECTED: 9,  # FAILED_PRECONDITION: calling again does not help
}
