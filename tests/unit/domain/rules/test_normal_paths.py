from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.rules.paths import normal_path, normal_prefix


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"/", b"/"),
        (b"", b"/"),
        (b"*", b"*"),
        (b"/a", b"/a"),
        (b"/a/", b"/a/"),
        (b"//a//b", b"//a//b"),
        (b"/a%20b", b"/a b"),
        (b"/%41/%62", b"/A/b"),
        (b"/a%2Fb", b"/a%2Fb"),
        (b"/a%2fb/c", b"/a%2Fb/c"),
        (b"/%252e%252e", b"/%252e%252e"),
        (b"/100%25", b"/100%25"),
        (b"/%252F", b"/%252F"),
        (b"/.well-known/..a/b./...", b"/.well-known/..a/b./..."),
        (b"/a;v=1/b+c", b"/a;v=1/b+c"),
        (b"/caf\xc3\xa9/caf%C3%A9", b"/caf\xc3\xa9/caf\xc3\xa9"),
        (b"/%ff", b"/\xff"),
    ],
)
def test_paths_are_split_and_then_decoded(path: bytes, expected: bytes) -> None:
    assert normal_path(path) == expected


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
        normal_path(path)
    assert caught.value.code is ErrorCode.BAD_REQUEST


segments = st.binary(max_size=6).filter(lambda part: not {b".", b".."} & set(part.split(b"/")))
paths = st.lists(segments, min_size=1, max_size=4)


def encoded(parts: list[bytes], safe: str = "") -> bytes:
    return "".join(f"/{quote(part, safe=safe)}" for part in parts).encode()


@given(paths, paths)
@example([b"a/b"], [b"a", b"b"])
@example([b"%2F"], [b"/"])
def test_paths_have_the_same_form_only_if_their_segments_are_the_same(one: list[bytes], other: list[bytes]) -> None:
    assert (normal_path(encoded(one)) == normal_path(encoded(other))) is (one == other)


@given(paths)
def test_form_does_not_depend_on_what_was_encoded_without_need(parts: list[bytes]) -> None:
    assert normal_path(encoded(parts)) == normal_path(encoded(parts, safe="!$&'()*+,;=:@"))


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [(b"/", b""), (b"/a", b"/a"), (b"/a/", b"/a"), (b"/a/b", b"/a/b"), (b"/a%2F", b"/a%2F")],
)
def test_one_trailing_slash_of_a_prefix_is_ignored(prefix: bytes, expected: bytes) -> None:
    assert normal_prefix(prefix) == expected
