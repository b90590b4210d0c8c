"""What statuses are called."""

from __future__ import annotations

import pytest

from tunnel.domain.reason_phrases import REASON_PHRASES


@pytest.mark.parametrize(
    ("status", "phrase"),
    [
        (200, "OK"),
        (413, "Content Too Large"),
        (414, "URI Too Long"),
        (415, "Unsupported Media Type"),
        (416, "Range Not Satisfiable"),
        (417, "Expectation Failed"),
        (422, "Unprocessable Content"),
        (423, "Locked"),
        (431, "Request Header Fields Too Large"),
    ],
)
def test_names_are_those_of_the_rfc_under_every_python(status: int, phrase: str) -> None:
    assert REASON_PHRASES[status] == phrase
