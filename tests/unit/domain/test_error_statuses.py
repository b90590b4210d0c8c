from __future__ import annotations

import pytest

from tunnel.domain.error_statuses import GRPC_STATUS, HTTP_STATUS
from tunnel.domain.errors import ErrorCode

STATUSES = {
    "bad_request": (400, 3),
    "route_not_found": (404, 12),
    "no_client": (503, 14),
    "peer_lost": (502, 14),
    "upstream_unreachable": (502, 14),
    "upstream_timeout": (504, 4),
    "too_large": (413, 8),
    "overloaded": (503, 8),
    "unauthenticated": (401, 16),
    "forbidden": (403, 7),
    "protocol_error": (502, 13),
    "flow_control": (502, 13),
    "refused": (502, 14),
    "superseded": (502, 14),
    "cancelled": (502, 1),
    "internal": (500, 13),
    "loop_detected": (508, 9),
}


@pytest.mark.parametrize("code", ErrorCode)
def test_every_code_has_the_statuses_that_are_documented(code: ErrorCode) -> None:
    assert (HTTP_STATUS[code], GRPC_STATUS[code]) == STATUSES[code.value]
