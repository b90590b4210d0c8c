from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.rules.paths import prefix_segments, split_path


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"/", [b""]),
        (b"", [b""]),
        (b"*", []),
        (b"/a", [b"a"]),
        (b"/a/", [b"a", b""]),
        (b"//a//b", [b"", b"a", b"", b"b"]),
        (b"/a%20b", [b"a b"]),
        (b"/%41/%62", [b"A", b"b"]),
        (b"/a%2Fb", [b"a/b"]),
        (b"/a%2fb/c", [b"a/b", b"c"]),
        (b"/%252e%252e", [b"%2e%2e"]),
        (b"/.well-known/..a/b./...", [b".well-known", b"..a", b"b.", b"..."]),
        (b"/a;v=1/b+c", [b"a;v=1", b"b+c"]),
        (b"/caf\xc3\xa9/caf%C3%A9", [b"caf\xc3\xa9", b"caf\xc3\xa9"]),
        (b"/%ff", [b"\xff"]),
    ],
)
def test_paths_are_split_and_then_decoded(path: bytes, expected: list[bytes]) -> None:
    assert split_path(path) == expected


@pytest.mark.parametrize(
    "path",
    [
        b"/.",
        b"/..",
        b"/./a",
        b"/a/.",
        b"/a/../b",
        b"/a/..",
        b"/%2e",
        b"/%2E%2e/a",
        b"/a/.%2e/b",
        b"/a/%2e./b",
        b"/%20/../a",
        b"/a%2f..%2fb",
        b"/a%2F%2e%2e",
        b"/%",
        b"/%4",
        b"/a%zz/b",
        b"/%4\xc3",
        b"a",
        b"a/b",
        b"**",
        b"http://a.test/",
        b" /a",
    ],
)
def test_paths_that_two_sides_could_read_differently_are_bad_requests(path: bytes) -> None:
    with pytest.raises(SessionError) as caught:
        split_path(path)
    assert caught.value.code is ErrorCode.BAD_REQUEST


@given(st.lists(st.binary(max_size=6).filter(lambda part: not {b".", b".."} & set(part.split(b"/"))), min_size=1))
def test_encoded_segments_come_back(segments: list[bytes]) -> None:
    assert split_path("".join(f"/{quote(segment, safe='')}" for segment in segments).encode()) == segments


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [(b"/", []), (b"/a", [b"a"]), (b"/a/", [b"a"]), (b"/a/b", [b"a", b"b"]), (b"/a%2F", [b"a/"])],
)
def test_one_trailing_slash_of_a_prefix_is_ignored(prefix: bytes, expected: list[bytes]) -> None:
    assert prefix_segments(prefix) == expected
