"""Which codes speak against a client, and which against a target: the table of the module, row by row."""

from __future__ import annotations

import pytest

from tunnel.domain.errors import ErrorCode
from tunnel.domain.health.failures import MEMBER_FAILURES, TARGET_FAILURES

BOTH = {"upstream_unreachable", "upstream_timeout"}
CLIENT_ONLY = {"peer_lost", "internal", "protocol_error", "flow_control"}


@pytest.mark.parametrize("code", ErrorCode)
def test_code_speaks_against_whom_the_table_says(code: ErrorCode) -> None:
    assert (code in TARGET_FAILURES) is (code.value in BOTH)
    assert (code in MEMBER_FAILURES) is (code.value in BOTH | CLIENT_ONLY)
