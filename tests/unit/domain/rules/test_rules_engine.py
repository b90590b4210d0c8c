from __future__ import annotations

import pytest

from tunnel.domain.envelopes import HttpRequest
from tunnel.domain.errors import ConfigurationError, ErrorCode, SessionError
from tunnel.domain.rules.engine import RulesEngine
from tunnel.domain.rules.rule import Rule, ValueMatch


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


def matching(rule: Rule, **head: object) -> bool:
    """Whether a rule of its own matches a GET of ``/a``, or what is said instead."""
    given = {"method": "GET", "path": b"/a", "host": b"a.test"} | head
    return RulesEngine([rule]).match(HttpRequest(**given)) is rule


def test_methods_compare_with_case() -> None:
    rule = Rule(methods=("GET", "PURGE"))
    asked = ("GET", "PURGE", "POST", "get", "GE", "")
    assert [method for method in asked if matching(rule, method=method)] == ["GET", "PURGE"]


@pytest.mark.parametrize(
    ("match", "fields", "matches"),
    [
        ("blue", (b"X-Env", b"blue"), True),
        ("blue", (b"x-env", b"Blue"), False),
        ("blue", (b"x-env", b"blue2"), False),
        ("blue", (b"y-env", b"blue"), False),
        ("blue", (), False),
        ("", (b"x-env", b""), True),
        ("blue, green", (b"x-env", b"blue", b"y", b"z", b"X-ENV", b"green"), True),
        ("blue", (b"x-env", b"blue", b"x-env", b"green"), False),
        ("é", (b"x-env", "é".encode()), True),
        (ValueMatch(present=True), (b"x-env", b""), True),
        (ValueMatch(present=True), (), False),
        (ValueMatch(regex="blue|green"), (b"x-env", b"green"), True),
        (ValueMatch(regex="blue"), (b"x-env", b"light blue"), False),
        (ValueMatch(regex=".*"), (), False),
    ],
)
def test_headers_match_by_name_without_case_and_by_whole_value(
    match: str | ValueMatch, fields: tuple[bytes, ...], matches: bool
) -> None:
    assert matching(Rule(headers={"X-Env": match}), headers=fields) is matches


@pytest.mark.parametrize(
    ("match", "query", "matches"),
    [
        ("1", b"v=1", True),
        ("1", b"w=2&v=1", True),
        ("1", b"v=1&v=2", True),
        ("2", b"v=1&v=2", False),
        ("1", b"V=1", False),
        ("1", b"v=%31", True),
        ("1", b"%76=1", True),
        ("a b", b"v=a+b", True),
        ("a b", b"v=a%20b", True),
        ("a+b", b"v=a%2Bb", True),
        ("50%", b"v=50%", True),
        ("a=b", b"v=a=b", True),
        ("1;w=2", b"v=1;w=2", True),
        ("", b"v", True),
        ("", b"v=", True),
        ("", b"&&", False),
        ("1", None, False),
        (ValueMatch(present=True), b"v", True),
        (ValueMatch(present=True), b"w=v", False),
        (ValueMatch(regex="[0-9]+"), b"v=12", True),
        (ValueMatch(regex="[0-9]+"), b"v=12a", False),
    ],
)
def test_query_parameters_match_decoded_and_the_first_counts(
    match: str | ValueMatch, query: bytes | None, matches: bool
) -> None:
    assert matching(Rule(query={"v": match}), query=query) is matches


def test_parameters_beyond_the_first_thousand_do_not_count() -> None:
    rule = Rule(query={"v": ValueMatch(present=True)})
    assert matching(rule, query=b"a&" * 999 + b"v")
    assert not matching(rule, query=b"a&" * 1000 + b"v")


def test_every_header_and_every_parameter_must_match() -> None:
    rule = Rule(headers={"a": "1", "b": "2"}, query={"c": "3", "d": "4"})
    head = {"headers": (b"a", b"1", b"b", b"2"), "query": b"c=3&d=4"}
    assert matching(rule, **head)
    assert not matching(rule, **head | {"headers": (b"a", b"1")})
    assert not matching(rule, **head | {"query": b"d=4"})


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("/users/[0-9]+", b"/users/42", True),
        ("/users/[0-9]+", b"/users/42/", False),
        ("users", b"/users", False),
        ("/a b", b"/a%20b", True),
        ("/caf.", b"/caf%C3%A9", True),
        ("/[^/]+", b"/a%2fb", True),
        ("/a/b", b"/a%2Fb", False),
        ("/a%2Fb", b"/a%2fb", True),
        ("/50%25", b"/50%25", True),
        ("/a.*", b"/a%0Ab", True),
    ],
)
def test_patterns_match_the_whole_normal_form_of_the_path(pattern: str, path: bytes, matches: bool) -> None:
    assert matching(Rule(path_regex=pattern), path=path) is matches


@pytest.mark.parametrize(
    ("protocol", "matching_rules"),
    [
        ("http", {None, "http"}),
        ("grpc", {None, "grpc"}),
        ("websocket", {None, "websocket"}),
        ("tcp", {"tcp"}),
    ],
)
def test_rules_without_protocol_match_all_but_tcp(protocol: str, matching_rules: set[str | None]) -> None:
    asked = [None, "http", "grpc", "websocket", "tcp"]
    assert {each for each in asked if matching(Rule(protocol=each), protocol=protocol)} == matching_rules


CALLS = [Rule(service="shop.Orders", group="s"), Rule(method="Get", group="m")]
BOTH = Rule(service="shop.Orders", method="Get", group="both")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/shop.Orders/Get", "both"),
        ("/shop.Orders/Put", "s"),
        ("/shop.Carts/Get", "m"),
        ("/shop.Carts/Put", None),
        ("/shop.Orders", None),
        ("/shop.Orders/Get/", None),
        ("/shop.Orders/a/Get", None),
        ("/shop.orders/Get", "m"),
        ("/Get", None),
    ],
)
def test_service_and_method_are_segments_of_the_path_of_grpc_calls(path: str, expected: str | None) -> None:
    assert matched([*CALLS, BOTH], "a.test", path, protocol="grpc", method="POST") == expected
    assert matched([*CALLS, BOTH], "a.test", path, method="POST") is None


def test_calls_are_matched_by_path_too() -> None:
    rules = [Rule(path_prefix="/shop.Orders", group="prefix"), *CALLS]
    assert matched(rules, "", "/shop.Orders/Get", protocol="grpc") == "prefix"
    assert matched([Rule(path="/shop.Orders/Get", group="path"), BOTH], "", "/shop.Orders/Get", protocol="grpc") == (
        "path"
    )


LADDER = [
    Rule(host="a.test", group="host"),
    Rule(host="*.test", path="/a/b", group="path"),
    Rule(host="*.test", service="a", method="b", group="call", headers={"h": "1"}),
    Rule(host="*.test", path_prefix="/a/b", group="longer prefix"),
    Rule(host="*.test", path_prefix="/a", methods=("GET",), group="methods"),
    Rule(host="*.test", path_prefix="/a", headers={"h": "1", "i": "1"}, group="two headers"),
    Rule(host="*.test", path_prefix="/a", headers={"h": "1"}, query={"q": "1"}, group="header and query"),
    Rule(host="*.test", path_prefix="/a", headers={"h": "1"}, priority=9, group="header"),
    Rule(host="*.test", service="a", query={"q": "1", "r": "1"}, group="two parameters"),
    Rule(host="*.test", service="a", query={"q": "1"}, priority=1, group="priority"),
    Rule(host="*.test", path_prefix="/a/", query={"q": "1"}, group="first"),
    Rule(host="*.test", path_prefix="/a", query={"r": "1"}, group="second"),
    Rule(host="*.test", path_prefix="/a", priority=9, group="prefix"),
    Rule(host="*.test", path_prefix="/", group="any path"),
    Rule(host="*.test", path_regex="/.*", methods=("GET",), group="pattern with methods"),
    Rule(host="*.test", method="b", headers={"h": "1"}, group="method with header"),
    Rule(host="*.test", path_regex="/a/.", priority=2, group="pattern"),
    Rule(host="*.test", path_regex="/a.*", group="last"),
    Rule(path="/a/b", methods=("GET",), headers={"h": "1"}, priority=99, group="no host"),
]


@pytest.mark.parametrize("turned", [False, True], ids=["down", "up"])
def test_each_step_of_the_precedence_decides_only_between_equals_of_those_before(turned: bool) -> None:
    # Every rule of the ladder matches. Rules equal up to their place in the file stay in that order.
    head = HttpRequest(
        "GET", path=b"/a/b", query=b"q=1&r=1", host=b"a.test", headers=(b"h", b"1", b"i", b"1"), protocol="grpc"
    )
    ladder = [rule for rule in LADDER if rule.group not in ("path", "first", "second")]
    ladder = ladder if turned else LADDER
    names = [rule.group for rule in ladder]
    rules = ladder[::-1] if turned else ladder
    found = []
    while rules:
        rule = RulesEngine(rules).match(head)
        assert rule is not None
        found.append(rule.group)
        rules = [each for each in rules if each is not rule]
    # An exact path and a call by service and method are equally close: the header decides between them.
    expected = names if turned else ["host", "call", "path", *names[3:]]
    assert found == expected


def test_rules_that_fail_a_condition_give_way_to_the_next_closest() -> None:
    rules = [
        Rule(host="a.test", path="/a", methods=("PUT",), group="exact"),
        Rule(host="a.test", path_prefix="/a", headers={"h": "1"}, group="prefix"),
        Rule(host="a.test", path_regex="/b", group="pattern"),
        Rule(host="*.test", query={"q": "1"}, group="wildcard"),
        Rule(protocol="websocket", group="nowhere"),
        Rule(group="none"),
    ]
    assert matched(rules, "a.test", "/a") == "none"
    assert matched(rules, "A.test", "/a", protocol="websocket") == "nowhere"


def test_headers_cut_short_by_a_peer_are_no_reason_to_fail() -> None:
    assert matching(Rule(headers={"a": "1"}), headers=(b"a", b"1", b"b"))
