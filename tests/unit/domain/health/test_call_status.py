from __future__ import annotations

import pytest

from tunnel.domain.health import http_status


@pytest.mark.parametrize(
    ("status", "expected"),
    [(0, 200), (1, 499), (2, 500), (4, 504), (7, 403), (8, 429), (12, 501), (14, 503), (16, 401), (17, 500), (-1, 500)],
)
def test_status_of_a_call_is_that_of_http_which_says_the_same(status: int, expected: int) -> None:
    assert http_status(status) == expected
