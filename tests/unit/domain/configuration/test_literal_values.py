"""What looks as if something were made of it, and is taken as it stands, is doubted."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tunnel.domain.configuration import decode_client_settings, decode_server_settings
from tunnel.domain.configuration.literal_values import misread_rules, misread_tokens

BELOW = '"*" stands for itself; path_prefix = "/api" has all below it'


@pytest.mark.parametrize(
    ("rule", "doubts"),
    [
        ({"path": "/api/*"}, [("rules[0].path", BELOW)]),
        ({"path_prefix": "/api*"}, [("rules[0].path_prefix", BELOW)]),
        ({"path": "/*"}, [("rules[0].path", '"*" stands for itself; path_prefix = "/" has all below it')]),
        (
            {"methods": ["GET", "get"]},
            [("rules[0].methods[1]", 'methods compare with case; the usual one is "GET"')],
        ),
        ({"path": "/a*b", "methods": ["PURGE", "purge"]}, []),
    ],
)
def test_rules_that_most_likely_match_nothing(rule: Mapping[str, object], doubts: list[tuple[str, str]]) -> None:
    table = {"transports": {"memory": {"name": "a"}}, "rules": [{**rule, "group": "g"}], "groups": {"g": {}}}

    assert list(misread_rules(decode_server_settings(table))) == doubts


def test_rules_of_groups_and_of_the_other_direction_are_looked_at_too() -> None:
    upstreams = {"u": {"targets": ["http://127.0.0.1:1"]}}
    rules = [{"path": "/*", "upstream": "u"}]
    table = {
        "transports": {"memory": {"name": "a"}},
        "groups": {"g": {"rules": rules, "upstreams": upstreams}},
        "forward": {"rules": [{**rules[0], "groups": ["g"]}], "upstreams": upstreams},
    }

    where = [path for path, _ in misread_rules(decode_server_settings(table))]
    assert where == ["groups.g.rules[0].path", "forward.rules[0].path"]


@pytest.mark.parametrize(
    ("key", "value", "doubt"),
    [
        ("token", "${TUNNEL_TOKEN}", "nothing is filled in here; "),
        ("token", "a$b", None),
        ("token_env", "$TUNNEL_TOKEN", 'the variable is "TUNNEL_TOKEN", without $'),
        ("token_env", "TUNNEL_TOKEN", None),
    ],
)
def test_token_keys_that_name_a_variable_as_shells_do(key: str, value: str, doubt: str | None) -> None:
    doubts = list(misread_tokens(decode_client_settings({"group": "g", "servers": ["memory://a"], key: value})))

    assert [path for path, _ in doubts] == ([] if doubt is None else [key])
    assert all(what.startswith(doubt or "") for _, what in doubts)
