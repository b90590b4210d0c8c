"""Golden vectors and recordings only ever grow: what a released version says stays on the wire."""

from __future__ import annotations

from support.kept_vectors import gone, kept, present


def test_nothing_that_was_kept_is_gone() -> None:
    assert gone(kept(), present()) == []


def test_everything_there_is_is_in_the_list() -> None:
    assert sorted(present()) == sorted(kept())


def test_removal_and_change_are_told_apart() -> None:
    assert gone({"a": "1", "b": "2", "c": "3"}, {"b": "2", "c": "4", "d": "5"}) == [
        "a: removed; older peers still send it",
        "c: its bytes were changed; older peers still send it",
    ]
