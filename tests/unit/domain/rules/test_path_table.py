from __future__ import annotations

import msgspec
import pytest

from tunnel.domain.envelopes import HttpRequest
from tunnel.domain.rules.path_table import compile_paths
from tunnel.domain.rules.rule import Rule

HEAD = HttpRequest("GET")


@pytest.mark.parametrize(
    ("rule", "path"),
    [
        (Rule(path="/a"), b"/a"),
        (Rule(path_prefix="/a"), b"/a/b"),
        (Rule(), b"/a"),
        (Rule(service="s", method="m", protocol="grpc"), b"/s/m"),
        (Rule(service="s"), b"/s/m"),
    ],
    ids=repr,
)
def test_host_with_one_rule_has_no_dictionary(rule: Rule, path: bytes) -> None:
    table = compile_paths([(3, rule)])
    assert table.match(path, msgspec.structs.replace(HEAD, protocol="grpc")) is rule
    assert isinstance(table, msgspec.Struct)
    assert not [each for each in msgspec.structs.astuple(table) if isinstance(each, dict)]


def test_path_is_looked_up_no_deeper_than_the_longest_prefix() -> None:
    asked: list[bytes] = []

    class Noting(dict[bytes, object]):
        def get(self, key: bytes, default: object = None) -> object:
            asked.append(key)
            return super().get(key, default)

    table = compile_paths([(0, Rule(path_prefix="/x")), (1, Rule(path_prefix="/y/z"))])
    assert isinstance(table, msgspec.Struct)
    noting = msgspec.structs.replace(table, prefixes=Noting({b"/x": Rule()}))
    assert noting.match(b"/a/b/c/d/e", HEAD) is None
    assert asked == [b"/a/b", b"/a", b""]
