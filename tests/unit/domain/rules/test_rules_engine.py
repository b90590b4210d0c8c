from __future__ import annotations

import pytest

from tunnel.domain.envelopes import HttpRequest
from tunnel.domain.errors import ConfigurationError, ErrorCode, SessionError
from tunnel.domain.rules.engine import RulesEngine
from tunnel.domain.rules.rule import Rule


def matched(rules: list[Rule], host: str, path: str = "/", **head: str) -> str | None:
    rule = RulesEngine(rules).match(
        HttpRequest(head.pop("method", "GET"), path=path.encode(), host=host.encode(), **head)
    )
    return None if rule is None else rule.group


EXACT = Rule(host="app.example.test", group="exact")
LONGER = Rule(host="*.b.example.test", group="longer")
SHORTER = Rule(host="*.example.test", group="shorter")
NONE = Rule(group="none")


@pytest.mark.parametrize("rules", [[EXACT, LONGER, SHORTER, NONE], [NONE, SHORTER, LONGER, EXACT]], ids=["down", "up"])
@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("app.example.test", "exact"),
        ("APP.Example.TEST:8443", "exact"),
        ("app.example.test.", "exact"),
        ("other.example.test", "shorter"),
        ("deep.app.example.test", "shorter"),
        ("a.b.example.test", "longer"),
        ("a.a.b.example.test:1", "longer"),
        ("b.example.test", "shorter"),
        ("example.test", "none"),
        ("xexample.test", "none"),
        ("", "none"),
        ("[::1]:80", "none"),
    ],
)
def test_exact_host_precedes_longer_wildcard_precedes_shorter_precedes_none(
    rules: list[Rule], host: str, expected: str
) -> None:
    assert matched(rules, host) == expected


@pytest.mark.parametrize(
    ("rule_host", "host", "matches"),
    [
        ("App.Example.Test", "app.example.test", True),
        ("*.Example.Test", "app.EXAMPLE.test", True),
        ("[0:0::1]", "[::1]:80", True),
        ("[2001:db8::A]", "[2001:DB8:0::a]", True),
        ("[::1]", "[::2]", False),
        ("10.0.0.1", "10.0.0.1:80", True),
        ("localhost", "localhost:80", True),
        ("localhost", "", False),
        ("*.test", "test", False),
    ],
)
def test_hosts_compare_in_normal_form(rule_host: str, host: str, matches: bool) -> None:
    assert (matched([Rule(host=rule_host, group="g")], host) == "g") is matches


PATHS = [
    Rule(path_prefix="/", group="root"),
    Rule(path_prefix="/api", group="api"),
    Rule(path_prefix="/api/v1/", group="v1"),
    Rule(path="/api/v1", group="exactly v1"),
    Rule(path="/api/", group="exactly api slash"),
    Rule(path="/a b", group="space"),
    Rule(path="/café", group="café"),
    Rule(path="/x%2Fy", group="encoded slash"),
]


@pytest.mark.parametrize("rules", [PATHS, PATHS[::-1]], ids=["down", "up"])
@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", "root"),
        ("", "root"),
        ("/apis", "root"),
        ("/other", "root"),
        ("/api", "api"),
        ("/api/", "exactly api slash"),
        ("/api/v2", "api"),
        ("/api/v1", "exactly v1"),
        ("/api/v1/", "v1"),
        ("/api/v1/x/y", "v1"),
        ("/api/v1x", "api"),
        ("/%61pi/v%31", "exactly v1"),
        ("/api//v1", "api"),
        ("//api", "root"),
        ("/API", "root"),
        ("/a%20b", "space"),
        ("/caf%C3%A9", "café"),
        ("/x%2fy", "encoded slash"),
        ("/x/y", "root"),
    ],
)
def test_exact_path_precedes_longer_prefix_precedes_shorter(rules: list[Rule], path: str, expected: str) -> None:
    assert matched(rules, "a.test", path) == expected


def test_host_precedes_path() -> None:
    rules = [Rule(host="*.test", path="/a", group="path"), Rule(host="a.test", path_prefix="/", group="host")]
    assert matched(rules, "a.test", "/a") == "host"


def test_exact_host_without_matching_path_falls_back_to_wildcards_and_then_to_no_host() -> None:
    rules = [
        Rule(host="a.b.test", path="/exact", group="exact"),
        Rule(host="*.b.test", path_prefix="/longer", group="longer"),
        Rule(host="*.test", path_prefix="/shorter", group="shorter"),
        Rule(path_prefix="/none", group="none"),
    ]
    paths = ["/exact", "/longer/x", "/shorter", "/none", "/nothing"]
    for host in ("a.b.test", "A.b.test.:80"):
        assert [matched(rules, host, path) for path in paths] == ["exact", "longer", "shorter", "none", None]


def test_higher_priority_decides_between_equals_then_order() -> None:
    first, second = Rule(path="/a", group="first"), Rule(path="/a", group="second")
    assert matched([first, second], "a.test", "/a") == "first"
    assert matched([first, Rule(path="/a", group="high", priority=1)], "a.test", "/a") == "high"
    assert matched([Rule(path="/a", group="low", priority=-1), first], "a.test", "/a") == "first"
    same = [Rule(path="/a", group=name, priority=7) for name in ("one", "two")]
    assert matched(same, "a.test", "/a") == "one"


def test_priority_does_not_lift_a_rule_over_a_closer_one() -> None:
    rules = [Rule(path_prefix="/", group="far", priority=100), Rule(path_prefix="/a", group="close")]
    assert matched(rules, "a.test", "/a") == "close"


def test_equal_prefixes_written_differently_are_equals() -> None:
    assert matched([Rule(path_prefix="/a/", group="one"), Rule(path_prefix="/%61", group="two")], "", "/a/x") == "one"
    assert matched([Rule(group="one"), Rule(path_prefix="/", group="two")], "", "/a/x") == "one"


def test_protocol_restricts_and_its_absence_does_not() -> None:
    rules = [Rule(path="/a", protocol="http", group="http"), Rule(path_prefix="/", group="any")]
    assert matched(rules, "a.test", "/a") == "http"
    assert matched(rules, "a.test", "/a", protocol="websocket") == "any"
    assert matched(rules[:1], "a.test", "/a", protocol="websocket") is None


def test_asterisk_matches_the_prefix_of_all_paths_only() -> None:
    rules = [Rule(path="/", group="exact"), Rule(path_prefix="/a", group="a"), Rule(path_prefix="/", group="root")]
    assert matched(rules, "a.test", "*", method="OPTIONS") == "root"
    assert matched(rules[:2], "a.test", "*", method="OPTIONS") is None
    assert matched([Rule(host="a.test", group="host")], "a.test", "*", method="OPTIONS") == "host"


@pytest.mark.parametrize(
    ("host", "path"),
    [("a.test", "*"), ("a.test", "/.."), ("a.test", "/%2e"), ("a.test", "/%"), ("a.test", "a"), ("a b", "/")],
)
def test_malformed_requests_are_bad_requests(host: str, path: str) -> None:
    with pytest.raises(SessionError) as caught:
        matched([Rule(host="a.test", group="host"), Rule(path="/x", group="none")], host, path)
    assert caught.value.code is ErrorCode.BAD_REQUEST


def test_no_rules_match_nothing() -> None:
    assert matched([], "a.test") is None


def test_very_long_paths_are_no_deeper_than_the_rules() -> None:
    assert matched([Rule(path_prefix="/a", group="a")], "a.test", "/a" * 30_000) == "a"


def test_invalid_rules_do_not_compile() -> None:
    with pytest.raises(ConfigurationError) as caught:
        RulesEngine([Rule(), Rule(host="a.test:80")])
    assert caught.value.key_path == "rules[1].host"


def test_rules_are_kept_in_order_whatever_becomes_of_the_list() -> None:
    rules = [Rule(path="/b", group="b"), Rule(path="/a", group="a")]
    engine = RulesEngine(rules)
    rules.clear()
    assert [rule.group for rule in engine.rules] == ["b", "a"]
