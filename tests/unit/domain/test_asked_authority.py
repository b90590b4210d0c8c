"""The server that a request names itself."""

from __future__ import annotations

import pytest

from tunnel.domain.asked_authority import asked_authority
from tunnel.domain.configuration import TargetUrl
from tunnel.domain.envelopes import HttpRequest
from tunnel.domain.errors import ErrorCode, SessionError


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (b"a.internal.test", TargetUrl("http", "a.internal.test", 80)),
        (b"A.Internal.Test.:8080", TargetUrl("http", "a.internal.test", 8080)),
        (b"a.internal.test:", TargetUrl("http", "a.internal.test", 80)),
        (b"10.0.0.7:81", TargetUrl("http", "10.0.0.7", 81)),
        (b"[::1]", TargetUrl("http", "::1", 80)),
        (b"[::1]:8080", TargetUrl("http", "::1", 8080)),
        (b"", None),
        (b"a.test:0", None),
    ],
)
def test_host_field_is_taken_apart(host: bytes, expected: TargetUrl | None) -> None:
    assert asked_authority(HttpRequest("GET", host=host)) == expected


@pytest.mark.parametrize(
    ("url", "secure", "expected"),
    [
        (b"http://a.test/x", False, TargetUrl("http", "a.test", 80)),
        (b"HTTPS://a.test/x", False, TargetUrl("https", "a.test", 443)),
        (b"http://a.test/x", True, TargetUrl("http", "a.test", 80)),
        (b"", True, TargetUrl("https", "a.test", 443)),
    ],
)
def test_scheme_is_that_of_the_url_or_else_of_the_connection(url: bytes, *, secure: bool, expected: TargetUrl) -> None:
    assert asked_authority(HttpRequest("GET", host=b"a.test", url=url), secure=secure) == expected


@pytest.mark.parametrize("host", [b"a b", b"user@a.test", b"a.test:99999", b"[::1", b"a/b"])
def test_what_is_no_host_is_a_bad_request(host: bytes) -> None:
    with pytest.raises(SessionError) as caught:
        asked_authority(HttpRequest("GET", host=host))
    assert caught.value.code is ErrorCode.BAD_REQUEST
