from __future__ import annotations

import msgspec
import pytest

from tunnel.domain.errors import ConfigurationError
from tunnel.domain.rules.rule import Rule, ValueMatch
from tunnel.domain.rules.validation import validate_rule


@pytest.mark.parametrize(
    "rule",
    [
        Rule(),
        Rule(host="app.example.test"),
        Rule(host="App.Example.TEST"),
        Rule(host="localhost"),
        Rule(host="xn--caf-dma.test"),
        Rule(host="under_score.test"),
        Rule(host="10.0.0.1"),
        Rule(host="*.example.test"),
        Rule(host="*.test"),
        Rule(host="[::1]"),
        Rule(host="[2001:DB8::1]"),
        Rule(host=".".join(["a" * 63] * 3 + ["b" * 61])),
        Rule(host=".".join(["A" * 63] * 3 + ["B" * 61])),
        Rule(path="/"),
        Rule(path="/a/b/"),
        Rule(path="/a%20b/%C3%A9"),
        Rule(path="/café"),
        Rule(path="/a.b/..c/.well-known/..."),
        Rule(path="/a%252e%252e"),
        Rule(path_prefix="/"),
        Rule(path_prefix="/api/"),
        Rule(protocol="http", priority=-3),
        *(Rule(protocol=protocol) for protocol in ("grpc", "websocket", "tcp")),
        Rule(path_regex="/a/[0-9]+(/.*)?"),
        Rule(path_regex="x" * 1000),
        Rule(methods=("GET", "M-SEARCH")),
        Rule(headers={"X-Env": "blue green", "x.y": ValueMatch(present=True), "a": ValueMatch(regex="b|c"), "e": ""}),
        Rule(query={"a b": "\x00&", "é": ValueMatch(present=True)}),
        Rule(service="Orders"),
        Rule(service="shop.v1.Orders", method="Get_Order2", protocol="grpc"),
        Rule(method="Check"),
    ],
    ids=repr,
)
def test_valid_rules_pass(rule: Rule) -> None:
    validate_rule(rule, "rules[0]")


@pytest.mark.parametrize(
    ("rule", "key", "expected"),
    [
        (Rule(host=""), "host", "labels"),
        (Rule(host="*"), "host", "leave host out"),
        (Rule(host="*."), "host", "labels"),
        (Rule(host="*.*.test"), "host", "wildcard only"),
        (Rule(host="a.*.test"), "host", "wildcard only"),
        (Rule(host="a*.test"), "host", "wildcard only"),
        (Rule(host="*test"), "host", "wildcard only"),
        (Rule(host="*.[::1]"), "host", "without port"),
        (Rule(host="a.test:80"), "host", "without port"),
        (Rule(host="::1"), "host", "brackets"),
        (Rule(host="[::1]:80"), "host", "IPv6"),
        (Rule(host="[::1"), "host", "IPv6"),
        (Rule(host="[]"), "host", "IPv6"),
        (Rule(host="[10.0.0.1]"), "host", "IPv6"),
        (Rule(host="[fe80::1%eth0]"), "host", "IPv6"),
        (Rule(host="a..test"), "host", "labels"),
        (Rule(host=".test"), "host", "labels"),
        (Rule(host="a.test."), "host", "labels"),
        (Rule(host="a b.test"), "host", "labels"),
        (Rule(host="a.test\n"), "host", "labels"),
        (Rule(host="http//a.test"), "host", "labels"),
        (Rule(host="a" * 64), "host", "63"),
        (Rule(host=".".join(["a" * 63] * 4)), "host", "253"),
        (Rule(host=".".join(["A" * 63] * 3 + ["B" * 62])), "host", "253"),
        (Rule(host="café.test"), "host", "xn--"),
        (Rule(path=""), "path", "starts with /"),
        (Rule(path="a"), "path", "starts with /"),
        (Rule(path="*"), "path", "starts with /"),
        (Rule(path="/a?b"), "path", "without ? and #"),
        (Rule(path="/a#b"), "path", "without ? and #"),
        (Rule(path="/a//b"), "path", "empty segments"),
        (Rule(path="/a\n"), "path", "control"),
        (Rule(path="/\ud800"), "path", "Unicode"),
        (Rule(path="/."), "path", "dot segment"),
        (Rule(path="/a/../b"), "path", "dot segment"),
        (Rule(path="/a/%2e%2E"), "path", "dot segment"),
        (Rule(path="/a/.%2e/"), "path", "dot segment"),
        (Rule(path="/%"), "path", "percent"),
        (Rule(path="/%2"), "path", "percent"),
        (Rule(path="/%zz"), "path", "percent"),
        (Rule(path_prefix="a"), "path_prefix", "starts with /"),
        (Rule(path_prefix="/a/.."), "path_prefix", "dot segment"),
        (Rule(path="/a", path_prefix="/a"), "path_prefix", "not both"),
        (Rule(path="/a", path_regex="/a"), "path_regex", "either path or path_regex"),
        (Rule(path_prefix="/a", path_regex="/a"), "path_regex", "either path_prefix or path_regex"),
        (Rule(path_regex="x" * 1001), "path_regex", "at most 1000"),
        (Rule(path_regex="(a"), "path_regex", "missing )"),
        (Rule(path_regex=r"(a)\1"), "path_regex", "no backreferences"),
        (Rule(path_regex="(?=a)"), "path_regex", "no look-around"),
        (Rule(path_regex="(?<!a)b"), "path_regex", "no look-around"),
        (Rule(path_regex="((a{500}){20}b?){20}"), "path_regex", "RE2"),
        (Rule(path_regex=r"\pL{150}"), "path_regex", "too large"),
        (Rule(path_regex="\ud800"), "path_regex", "Unicode"),
        (Rule(protocol="quic"), "protocol", '"http", "grpc", "websocket", "tcp"'),
        (Rule(protocol="HTTP"), "protocol", '"http"'),
        (Rule(methods=()), "methods", "at least one"),
        (Rule(methods=("GET", "")), "methods[1]", "request method"),
        (Rule(methods=("G T",)), "methods[0]", "request method"),
        (Rule(headers={"a b": "c"}), "headers", "names of header fields"),
        (Rule(headers={"": "c"}), "headers", "names of header fields"),
        (Rule(headers={"é" + "a" * 70: "c"}), "headers", "got '\\xe9" + "a" * 59 + "'"),
        (Rule(headers={"x-a": "1", "X-A": "2"}), "headers.X-A", "given twice"),
        (Rule(headers={"x-a": " 1"}), "headers.x-a", "blanks"),
        (Rule(headers={"x-a": "1\n2"}), "headers.x-a", "control"),
        (Rule(headers={"x-a": "\ud800"}), "headers.x-a", "Unicode"),
        (Rule(headers={"x-a": ValueMatch()}), "headers.x-a", "either regex or present"),
        (Rule(headers={"x-a": ValueMatch(regex="a", present=True)}), "headers.x-a", "either regex or present"),
        (Rule(headers={"x-a": ValueMatch(present=False)}), "headers.x-a.present", "expected true"),
        (Rule(headers={"x.a": ValueMatch(regex="(")}), 'headers."x.a".regex', "RE2"),
        (Rule(query={"": "a"}), "query", "empty"),
        (Rule(query={"a\nb": ValueMatch()}), 'query."a\\nb"', "either regex or present"),
        (Rule(service=""), "service", "shop.v1.Orders"),
        (Rule(service="/shop.Orders"), "service", "shop.v1.Orders"),
        (Rule(service="shop..Orders"), "service", "shop.v1.Orders"),
        (Rule(method="Get/Order"), "method", "GetOrder"),
        (Rule(method=""), "method", "GetOrder"),
        (Rule(service="a.B", path="/a"), "service", "either path or service"),
        (Rule(method="Get", path_prefix="/a"), "method", "either path_prefix or method"),
        (Rule(service="a.B", path_regex="/a"), "service", "either path_regex or service"),
        (Rule(service="a.B", protocol="http"), "protocol", "grpc"),
    ],
    ids=repr,
)
def test_invalid_rules_name_key_and_expectation(rule: Rule, key: str, expected: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        validate_rule(rule, "groups.web.rules[3]")
    assert caught.value.key_path == f"groups.web.rules[3].{key}"
    assert expected in caught.value.expected


@pytest.mark.parametrize("text", ["(\n", "\\q\n", "[\x1b", "(?P<\n>a)", "*\n"])
def test_what_is_wrong_with_a_pattern_is_one_line(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        validate_rule(Rule(path_regex=text), "rules[0]")
    assert str(caught.value).isprintable()


def test_key_path_may_be_empty() -> None:
    with pytest.raises(ConfigurationError) as caught:
        validate_rule(Rule(host="*"), "")
    assert caught.value.key_path == "host"


def test_unknown_keys_are_refused_when_decoding() -> None:
    with pytest.raises(msgspec.ValidationError, match="path_regx"):
        msgspec.convert({"path_regx": ".*"}, Rule)
