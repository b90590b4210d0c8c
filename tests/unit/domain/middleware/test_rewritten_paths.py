"""Paths that are rewritten: what the table lacks or has too much of, and where groups and prefixes end up."""

from __future__ import annotations

import pytest

from tunnel.domain.errors import ConfigurationError, ErrorCode, SessionError
from tunnel.domain.middleware.path_change import path_change, stripped_prefix

NOTHING = dict.fromkeys(("path", "prefix", "by", "regex", "replacement"))


def changed(received, /, **given):
    change = path_change(**{**NOTHING, **given})
    assert change is not None
    return change.of(received)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"prefix": "/b"}, 'missing the required key "replace_prefix", as prefix is given'),
        ({"by": "/b"}, 'missing the required key "prefix", as replace_prefix is given'),
        ({"regex": "/b"}, 'missing the required key "replacement", as regex is given'),
        ({"replacement": "/b"}, 'missing the required key "regex", as replacement is given'),
        ({"path": "/a", "regex": "/b", "replacement": "/"}, "regex: expected either path or regex, not both"),
        (
            {"regex": "(a)(b)", "replacement": "\\3"},
            "replacement: expected groups from \\0 to \\2, as the pattern has them",
        ),
        ({"path": "/%2e"}, "path: expected a path without dot segments"),
        ({"prefix": "/a", "by": "b"}, "replace_prefix: expected a path that starts with /"),
    ],
)
def test_mistake_says_what_is_missing_or_too_much(given, message):
    with pytest.raises(ConfigurationError) as caught:
        path_change(**{**NOTHING, **given})
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("replacement", "result"),
    [(r"/\0", b"//a/b"), (r"\1\2", b"/ab"), (r"/x\2", b"/xb"), (r"\3/\1", b"/a"), ("/", b"/"), ("x", b"/x")],
)
def test_groups_stand_where_they_are_named_and_empty_where_they_took_no_part(replacement, result):
    assert changed(b"/a/b", regex="/(a)/(b)(c)?", replacement=replacement) == result


def test_asterisk_is_no_path_to_be_changed():
    assert changed(b"*", path="/x") == b"*"
    assert changed(b"*", regex=".*", replacement="/x") == b"*"
    assert stripped_prefix(b"*", (b"",)) is None


@pytest.mark.parametrize(("size", "taken"), [(32 * 1024 - 1, True), (32 * 1024, False)])
def test_rewritten_path_is_64_kib_at_most(size, taken):
    received = b"/" + b"x" * size
    if taken:
        assert len(changed(received, regex="/(x*)", replacement=r"/y\1\1")) == 2 * size + 2
    else:
        with pytest.raises(SessionError, match="too long when rewritten") as caught:
            changed(received, regex="/(x*)", replacement=r"/y\1\1")
        assert caught.value.code is ErrorCode.BAD_REQUEST


@pytest.mark.parametrize(
    ("path", "prefixes", "expected"),
    [
        (b"/a/b/c", (b"/a/b", b"/a"), (b"/a/b", b"/c")),
        (b"/a/b/c", (b"/a", b"/a/b"), (b"/a", b"/b/c")),
        (b"/a", (b"/a",), (b"/a", b"/")),
        (b"/%61/", (b"/a",), (b"/%61", b"/")),
        (b"/a/b", (b"",), (b"", b"/a/b")),
        (b"/a", (b"/a/b", b"/b"), None),
        (b"/ab", (b"/a",), None),
    ],
)
def test_first_prefix_that_fits_is_stripped(path, prefixes, expected):
    assert stripped_prefix(path, prefixes) == expected
