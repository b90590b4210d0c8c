"""Where in a file a key stands."""

from __future__ import annotations

import pytest

from tunnel.domain.configuration.mistakes import key_path
from tunnel.domain.configuration.order import FileOrder

TABLE = {
    "rules": [{"host": "a", "group": "web"}, {"headers": {"x-a": "1", "x b": "2", 'q".[0]"': "3"}}],
    "groups": {"web": {"upstreams": {"my app": {"targets": ["a", "b"]}}}},
    "": {"a": 1},
}


def paths(value: object, at: tuple[str | int, ...] = ()) -> list[str]:
    inside = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    return [key_path(*at), *(each for key, inner in inside for each in paths(inner, (*at, key)))]


def test_keys_are_in_the_order_in_which_they_are_written() -> None:
    written = paths(TABLE)

    assert sorted(sorted(written), key=FileOrder(TABLE).place) == written
    assert len({FileOrder(TABLE).place(each) for each in written}) == len(written)


@pytest.mark.parametrize("missing", ["rules[0].path", "rules[0].host[3]", "rules[2]", "admin.listen", "!"])
def test_what_is_not_there_stands_where_its_table_begins(missing: str) -> None:
    order = FileOrder(TABLE)

    assert order.place(missing) in {order.place(each) for each in ("", "rules", "rules[0]", "rules[0].host")}


def test_part_of_a_file_is_placed_by_whole_key_paths() -> None:
    order = FileOrder({"a": 1, "b": [2, 3]}, ("middleware", "my own"))
    keys = ['middleware."my own".b[1]', 'middleware."my own".b', 'middleware."my own".a', 'middleware."my own"']

    assert sorted(keys, key=order.place) == keys[::-1]


def test_key_of_a_table_that_is_missing_is_not_looked_for_around_it() -> None:
    order = FileOrder({"b": 1, "host": 2})

    assert order.place("a.host") == order.place("")
