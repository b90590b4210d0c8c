import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnel.domain.errors import ConfigurationError, SessionError
from tunnel.domain.middleware.path_change import path_change, stripped_prefix

NOTHING = {"path": None, "prefix": None, "by": None, "regex": None, "replacement": None}


def changed(received, /, **given):
    change = path_change(**{**NOTHING, **given})
    assert change is not None
    return change.of(received)


@pytest.mark.parametrize(
    ("path", "prefix", "by", "result"),
    [
        (b"/api/x", "/api", "/v2", b"/v2/x"),
        (b"/api", "/api", "/v2", b"/v2"),
        (b"/api/", "/api", "/v2", b"/v2/"),
        (b"/apis/x", "/api", "/v2", b"/apis/x"),
        (b"/%61pi/%2Fx", "/api", "/v2", b"/v2/%2Fx"),
        (b"/api/x", "/api/", "/", b"/x"),
        (b"/api", "/api", "/", b"/"),
        (b"/x", "/", "/v2", b"/v2/x"),
        (b"/", "/", "/v2", b"/v2/"),
        (b"*", "/", "/v2", b"*"),
    ],
)
def test_prefix_of_whole_segments_is_replaced_and_the_rest_kept_as_received(path, prefix, by, result):
    assert changed(path, prefix=prefix, by=by) == result


def test_whole_path_is_replaced():
    assert changed(b"/a/b", path="/x") == b"/x"


@pytest.mark.parametrize(
    ("path", "result"),
    [(b"/u/7/posts", b"/posts/7/of-u"), (b"/u/7/posts/9", b"/u/7/posts/9"), (b"/x", b"/x")],
)
def test_regex_replaces_a_path_that_it_matches_whole(path, result):
    assert changed(path, regex="/(u)/([0-9]+)/posts", replacement=r"posts/\2/of-\1") == result


def test_regex_cannot_make_dot_segments():
    with pytest.raises(SessionError, match="dot segment"):
        changed(b"/a.x./b", regex=r"/a(\.)x(\.)(/b)", replacement=r"/\1\2\3")


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({"path": "/a", "prefix": "/b", "by": "/c"}, "prefix"),
        ({"prefix": "/b"}, ""),
        ({"replacement": "x"}, ""),
        ({"by": "/b"}, ""),
        ({"regex": "/b"}, ""),
        ({"prefix": "/b", "by": "c"}, "replace_prefix"),
        ({"prefix": "/b", "by": "/a/../c"}, "replace_prefix"),
        ({"path": "a"}, "path"),
        ({"path": "/a?b"}, "path"),
        ({"prefix": "/a/../b", "by": "/"}, "prefix"),
        ({"regex": "(", "replacement": "x"}, "regex"),
        ({"regex": "(a)\\1", "replacement": "x"}, "regex"),
        ({"regex": "(a)", "replacement": "\\2"}, "replacement"),
        ({"regex": "(a)", "replacement": "\\"}, "replacement"),
        ({"regex": "(a)", "replacement": "a b"}, "replacement"),
    ],
)
def test_contradictions_and_malformed_values_are_refused(given, key):
    with pytest.raises(ConfigurationError) as caught:
        path_change(**{**NOTHING, **given})
    assert caught.value.key_path == key


SEGMENTS = st.lists(st.sampled_from([b"a", b"b", b"%61", b"", b"a%2Fb"]), min_size=1, max_size=5)


@given(SEGMENTS)
def test_what_was_stripped_and_what_is_left_are_the_path(segments):
    path = b"/" + b"/".join(segments)
    found = stripped_prefix(path, (b"/a/b", b"/a"))
    if found is not None:
        prefix, rest = found
        assert prefix + rest in (path, path + b"/")
        assert rest.startswith(b"/")


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (b"/a/b/c", (b"/a/b", b"/c")),
        (b"/%61/b", (b"/%61/b", b"/")),
        (b"/a/x", (b"/a", b"/x")),
        (b"/ab", None),
        (b"*", None),
    ],
)
def test_first_prefix_that_fits_is_stripped_as_it_was_received(path, found):
    assert stripped_prefix(path, (b"/a/b", b"/a")) == found


def test_nothing_given_changes_nothing():
    assert path_change(**NOTHING) is None


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"prefix": "/b"}, '"replace_prefix", as prefix is given'),
        ({"by": "/b"}, '"prefix", as replace_prefix is given'),
        ({"regex": "/b"}, '"replacement", as regex is given'),
        ({"path": "/a", "regex": "/b", "replacement": "/"}, "either path or regex, not both"),
    ],
)
def test_keys_that_lack_or_exclude_each_other_are_named(given, told):
    with pytest.raises(ConfigurationError) as caught:
        path_change(**{**NOTHING, **given})
    assert told in str(caught.value)
