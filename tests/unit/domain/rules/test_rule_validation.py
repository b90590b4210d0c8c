from __future__ import annotations

import msgspec
import pytest

from tunnel.domain.errors import ConfigurationError
from tunnel.domain.rules.rule import Rule, validate_rule


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
        Rule(path="/"),
        Rule(path="/a/b/"),
        Rule(path="/a%20b/%C3%A9"),
        Rule(path="/café"),
        Rule(path="/a.b/..c/.well-known/..."),
        Rule(path="/a%252e%252e"),
        Rule(path_prefix="/"),
        Rule(path_prefix="/api/"),
        Rule(protocol="http", priority=-3),
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
        (Rule(protocol="grpc"), "protocol", "http"),
    ],
    ids=repr,
)
def test_invalid_rules_name_key_and_expectation(rule: Rule, key: str, expected: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        validate_rule(rule, "groups.web.rules[3]")
    assert caught.value.key_path == f"groups.web.rules[3].{key}"
    assert expected in caught.value.expected


def test_key_path_may_be_empty() -> None:
    with pytest.raises(ConfigurationError) as caught:
        validate_rule(Rule(host="*"), "")
    assert caught.value.key_path == "host"


def test_unknown_keys_are_refused_when_decoding() -> None:
    with pytest.raises(msgspec.ValidationError, match="path_regex"):
        msgspec.convert({"path_regex": ".*"}, Rule)
