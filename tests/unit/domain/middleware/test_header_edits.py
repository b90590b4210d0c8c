import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnel.domain.errors import ConfigurationError
from tunnel.domain.middleware.header_edits import HeaderEdits, first_field

FIELDS = (b"Host", b"a.test", b"X-A", b"1", b"x-b", b"2", b"x-a", b"3")


def test_set_takes_the_place_of_every_field_of_its_name():
    edits = HeaderEdits(set={"X-A": "new"}, add={}, remove=())
    assert edits.applied(FIELDS) == (b"Host", b"a.test", b"x-b", b"2", b"x-a", b"new")


def test_add_keeps_what_is_there():
    edits = HeaderEdits(set={}, add={"x-b": "3"}, remove=())
    assert edits.applied(FIELDS) == (*FIELDS, b"x-b", b"3")


def test_remove_goes_by_name_without_case():
    edits = HeaderEdits(set={}, add={}, remove=("X-A",))
    assert edits.applied(FIELDS) == (b"Host", b"a.test", b"x-b", b"2")


NAMES = st.sampled_from([b"a", b"B", b"c", b"D"])


@given(st.lists(st.tuples(NAMES, st.binary(max_size=3))))
def test_setting_again_changes_nothing(pairs):
    headers = tuple(each for pair in pairs for each in pair)
    edits = HeaderEdits(set={"a": "1", "b": "2"}, add={}, remove=("c",))
    once = edits.applied(headers)
    assert edits.applied(once) == once
    assert first_field(once, b"a") == b"1"


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({"set": {"content-length": "1"}}, "request.set.content-length"),
        ({"add": {"Transfer-Encoding": "chunked"}}, "request.add.Transfer-Encoding"),
        ({"remove": ("host",)}, "request.remove[0]"),
        ({"remove": ("grpc-timeout",)}, "request.remove[0]"),
        ({"remove": (":authority",)}, "request.remove[0]"),
        ({"set": {"a b": "1"}}, "request.set.a b"),
        ({"set": {"x": "a\r\nb"}}, "request.set.x"),
        ({"set": {"x": " a"}}, "request.set.x"),
        ({"set": {"x": "ä"}}, "request.set.x"),
        ({"set": {"x": "1"}, "remove": ("X",)}, "request.remove[0]"),
    ],
)
def test_what_frames_messages_or_contradicts_itself_is_refused(given, key):
    with pytest.raises(ConfigurationError) as caught:
        HeaderEdits.check(**{"set": {}, "add": {}, "remove": (), **given}, path="request.")
    assert caught.value.key_path == key


def test_edits_that_change_nothing_are_false():
    assert not HeaderEdits(set={}, add={}, remove=())
    assert HeaderEdits(set={}, add={"a": "1"}, remove=())
    assert HeaderEdits(set={}, add={}, remove=("a",))


def test_fields_that_nobody_names_are_the_same_tuple():
    edits = HeaderEdits(set={}, add={}, remove=("x-other",))
    assert edits.applied(FIELDS) is FIELDS


@pytest.mark.parametrize(
    ("name", "value"),
    [(b"x-a", b"3"), (b"x-b", b"2"), (b"host", b"a.test"), (b"a.test", None), (b"2", None)],
)
def test_first_field_goes_by_name_and_never_by_value(name, value):
    assert first_field(FIELDS, name) == value


def test_first_field_in_lower_case_goes_before_others():
    assert first_field((b"X", b"1", b"x", b"2"), b"x") == b"2"
    assert first_field((b"A", b"x", b"X", b"1"), b"x") == b"1"


@pytest.mark.parametrize("name", ["x", "X_a-b.c", "x" * 256])
@pytest.mark.parametrize("value", ["", "a", "a b", "!~"])
def test_fields_of_visible_ascii_are_taken(name, value):
    HeaderEdits.check(set={name: value}, add={f"y{name}"[:256]: value}, remove=("z",), path="request.")


def test_name_given_twice_says_where_else():
    with pytest.raises(ConfigurationError) as caught:
        HeaderEdits.check(set={"x-a": "1"}, add={"X-A": "2"}, remove=(), path="request.")
    assert str(caught.value) == "request.add.X-A: given twice, also as request.set.x-a; letter case does not count"
