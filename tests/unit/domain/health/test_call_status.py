from __future__ import annotations

import pytest

from tunnel.domain.health import http_status


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (0, 200),  # OK
        (1, 499),  # CANCELLED
        (2, 500),  # UNKNOWN
        (3, 400),  # INVALID_ARGUMENT
        (4, 504),  # DEADLINE_EXCEEDED
        (5, 404),  # NOT_FOUND
        (6, 409),  # ALREADY_EXISTS
        (7, 403),  # PERMISSION_DENIED
        (8, 429),  # RESOURCE_EXHAUSTED
        (9, 400),  # FAILED_PRECONDITION
        (10, 409),  # ABORTED
        (11, 400),  # OUT_OF_RANGE
        (12, 501),  # UNIMPLEMENTED
        (13, 500),  # INTERNAL
        (14, 503),  # UNAVAILABLE
        (15, 500),  # DATA_LOSS
        (16, 401),  # UNAUTHENTICATED
        (17, 500),
        (-1, 500),
    ],
)
def test_status_of_a_call_is_that_of_http_which_says_the_same(status: int, expected: int) -> None:
    assert http_status(status) == expected
