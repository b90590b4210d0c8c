"""Bodies that are sent only when asked for: which, and what asks for them."""

from __future__ import annotations

import pytest

from tunnel.domain.envelopes import BodyChunk, HttpRequest, HttpResponse, SessionPayload, TcpOpen
from tunnel.domain.expectation import PERMISSION, awaits_permission, is_permission


@pytest.mark.parametrize("name", [b"expect", b"Expect"])
@pytest.mark.parametrize("value", [b"100-continue", b"100-Continue", b" 100-continue "])
def test_request_that_expects_to_be_asked_awaits_permission(name: bytes, value: bytes) -> None:
    assert awaits_permission(HttpRequest("POST", headers=(b"host", b"a", name, value)))


@pytest.mark.parametrize(
    "head",
    [
        HttpRequest("POST"),
        HttpRequest("POST", headers=(b"expect", b"miracles")),
        HttpRequest("POST", headers=(b"expect", b"100-continue"), end=True),
        HttpRequest("POST", headers=(b"expect", b"100-continue"), body=b"begun"),
        HttpRequest("POST", headers=(b"x", b"expect", b"100-continue")),
        TcpOpen("ssh"),
    ],
)
def test_other_openings_do_not(head: HttpRequest | TcpOpen) -> None:
    assert not awaits_permission(head)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (PERMISSION, True),
        (HttpResponse(100, end=True), False),
        (HttpResponse(103), False),
        (HttpResponse(200), False),
        (BodyChunk(b"100", False), False),
    ],
)
def test_only_100_that_does_not_end_is_permission(payload: SessionPayload, *, expected: bool) -> None:
    assert is_permission(payload) is expected
