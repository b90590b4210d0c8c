"""Failures of the tunnel as statuses of gRPC.

Source: docs/reference/grpc.md, failures.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from grpc import StatusCode

from tunnel.domain.errors import ErrorCode, SessionError

__all__ = ["ERROR_KEY", "FAILURE_STATUS", "STATUS_OF_NUMBER", "failure_text"]

ERROR_KEY: Final = "tunnel-error"
"""In the trailing metadata of a failure of the tunnel's own: its code. No status of an application has it."""

FAILURE_STATUS: Final[Mapping[ErrorCode, StatusCode]] = {
    ErrorCode.BAD_REQUEST: StatusCode.INVALID_ARGUMENT,
    ErrorCode.ROUTE_NOT_FOUND: StatusCode.UNIMPLEMENTED,
    ErrorCode.NO_CLIENT: StatusCode.UNAVAILABLE,
    ErrorCode.PEER_LOST: StatusCode.UNAVAILABLE,
    ErrorCode.UPSTREAM_UNREACHABLE: StatusCode.UNAVAILABLE,
    ErrorCode.UPSTREAM_TIMEOUT: StatusCode.DEADLINE_EXCEEDED,
    ErrorCode.TOO_LARGE: StatusCode.RESOURCE_EXHAUSTED,
    ErrorCode.OVERLOADED: StatusCode.RESOURCE_EXHAUSTED,
    ErrorCode.UNAUTHENTICATED: StatusCode.UNAUTHENTICATED,
    ErrorCode.FORBIDDEN: StatusCode.PERMISSION_DENIED,
    ErrorCode.PROTOCOL_ERROR: StatusCode.INTERNAL,
    ErrorCode.FLOW_CONTROL: StatusCode.INTERNAL,
    ErrorCode.REFUSED: StatusCode.UNAVAILABLE,
    ErrorCode.SUPERSEDED: StatusCode.UNAVAILABLE,
    ErrorCode.CANCELLED: StatusCode.CANCELLED,
    ErrorCode.INTERNAL: StatusCode.INTERNAL,
}
"""The status that a call gets when it fails with a code."""

STATUS_OF_NUMBER: Final[Mapping[int, StatusCode]] = {code.value[0]: code for code in StatusCode}


def failure_text(error: SessionError) -> str:
    """What the caller is told; never ``error.detail``, which is for operators."""
    return error.message or error.code.value.replace("_", " ")
