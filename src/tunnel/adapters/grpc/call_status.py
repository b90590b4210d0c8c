"""Failures of the tunnel as statuses of gRPC.

Source: docs/reference/grpc.md, failures.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from grpc import StatusCode

from tunnel.domain.error_statuses import GRPC_STATUS
from tunnel.domain.errors import ErrorCode, SessionError

__all__ = ["ERROR_KEY", "FAILURE_STATUS", "STATUS_OF_NUMBER", "failure_text"]

ERROR_KEY: Final = "tunnel-error"
"""In the trailing metadata of a failure of the tunnel's own: its code. No status of an application has it."""

STATUS_OF_NUMBER: Final[Mapping[int, StatusCode]] = {code.value[0]: code for code in StatusCode}

FAILURE_STATUS: Final[Mapping[ErrorCode, StatusCode]] = {
    code: STATUS_OF_NUMBER[number] for code, number in GRPC_STATUS.items()
}
"""The status that a call gets when it fails with a code."""


def failure_text(error: SessionError) -> str:
    """What the caller is told; never ``error.detail``, which is for operators."""
    return error.message or error.code.value.replace("_", " ")
