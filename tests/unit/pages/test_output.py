"""What a page shows of an output, and what was printed."""

import pytest
from support.pages.output import differences, filled, found_in


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("a\nb\n", ["a", "b"]),
        ("a   b\n", ["a b"]),
        ("up ..., settings 1\n", ["up 2 s, settings 1"]),
        ("a\n...\nd\n", ["a", "b", "c", "d"]),
        ("...\nd\n", ["d"]),
        ("a\n...\n", ["a"]),
        ("a\n\nb\n", ["a", "b", ""]),
    ],
)
def test_agreeing_outputs_have_no_differences(shown, printed):
    assert differences(shown, printed, {}) is None


@pytest.mark.parametrize(
    ("shown", "printed", "complaint"),
    [
        ("a\nb\n", ["a"], "not printed: 'b'"),
        ("a\n", ["a", "b"], "printed besides: 'b'"),
        ("a\n", ["b"], "expected 'a'"),
        ("a.c\n", ["abc"], "expected 'a.c'"),
        ("b\na\n", ["a", "b"], "expected 'b'"),
    ],
)
def test_difference_is_told(shown, printed, complaint):
    assert differences(shown, printed, {}).startswith(complaint)


def test_placeholder_stands_for_one_word_from_then_on():
    names = {}

    assert differences("token <the token>\n", ["token abc"], names) is None
    assert filled("TOKEN='<the token>'", names) == "TOKEN='abc'"
    assert differences("again <the token>\n", ["again xyz"], names) is not None


def test_words_are_found_within_lines_in_any_order():
    said = ["12:00 INFO two x=1", "12:00 INFO one"]

    assert found_in("one\ntwo x=...\n", said, {}) is None
    assert found_in("one\nthree\n", said, {}) == "three"
