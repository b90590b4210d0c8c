from __future__ import annotations

import pytest

from tunnel.adapters.http.ingress_target import RequestTarget, read_target
from tunnel.domain.errors import ErrorCode, SessionError


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"/", RequestTarget(b"/")),
        (b"/a%2F//b?", RequestTarget(b"/a%2F//b", b"")),
        (b"/a?b?c=/%20", RequestTarget(b"/a", b"b?c=/%20")),
        (b"//a.test/b", RequestTarget(b"//a.test/b")),
        (b"http://a.test", RequestTarget(b"/", None, b"http://a.test", b"a.test")),
        (b"HTTP://a.test?x", RequestTarget(b"/", b"x", b"HTTP://a.test?x", b"a.test")),
        (b"https://[::1]:8/a?b", RequestTarget(b"/a", b"b", b"https://[::1]:8/a?b", b"[::1]:8")),
        (b"http://a.test/x@y", RequestTarget(b"/x@y", None, b"http://a.test/x@y", b"a.test")),
    ],
)
def test_targets_are_taken_apart_and_nothing_in_them_is_changed(raw, expected):
    assert read_target(raw, b"GET") == expected


@pytest.mark.parametrize(
    ("raw", "path"), [(b"*", b"*"), (b"http://a.test", b"*"), (b"http://a.test/", b"/"), (b"http://a.test?x", b"/")]
)
def test_options_may_be_of_the_whole_server(raw, path):
    assert read_target(raw, b"OPTIONS").path == path


@pytest.mark.parametrize(
    "raw",
    [
        *(b"", b"*", b"a.test:443", b"a/b", b"/a#b", b"http://u@a.test/", b"http:///a", b"ftp://a.test/", b"/\xc3\xa9"),
        *(b"http://", b"http:/a", b"http://a.test#x"),
    ],
)
def test_anything_else_is_a_bad_request(raw):
    with pytest.raises(SessionError) as caught:
        read_target(raw, b"GET")
    assert caught.value.code is ErrorCode.BAD_REQUEST


@pytest.mark.parametrize("raw", [b"a.test:443", b"http://a.test/", b"*"])
def test_connect_asks_for_what_is_not_spoken_here(raw):
    with pytest.raises(SessionError) as caught:
        read_target(raw, b"CONNECT")
    assert caught.value.code is ErrorCode.BAD_REQUEST
