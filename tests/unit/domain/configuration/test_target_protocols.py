"""Rules that lead only to what answers other protocols than they match."""

from __future__ import annotations

import pytest

from tunnel.domain.configuration import decode_server_settings
from tunnel.domain.configuration.target_protocols import answered, dead_ends

REQUESTS, CALLS = "HTTP and WebSocket", "gRPC calls"


def doubtful(rule: dict[str, object], target: str, **first: object) -> dict[str, str]:
    """What is said of a server with one rule of each hop and one target."""
    table = {
        "transports": {"memory": {"name": "edge"}},
        "rules": [{"group": "web", **first}],
        "groups": {"web": {"rules": [{"upstream": "app", **rule}], "upstreams": {"app": {"targets": [target]}}}},
        "forward": {
            "rules": [{"upstream": "app", "groups": ["web"], **rule}],
            "upstreams": {"app": {"targets": [target]}},
        },
    }
    return dict(dead_ends(decode_server_settings(table)))


@pytest.mark.parametrize("target", ["http://a:1", "https://a:1", "unix:/a", "asgi:a:b", "wsgi:a:b", "app:a"])
@pytest.mark.parametrize("rule", [{"service": "a.B"}, {"method": "C"}, {"protocol": "grpc"}])
def test_rule_for_calls_that_leads_to_no_target_of_grpc_is_told_in_both_directions(
    rule: dict[str, object], target: str
) -> None:
    text = f"it matches {CALLS} only, and its upstream answers {REQUESTS} only"
    assert doubtful(rule, target) == {"groups.web.rules[0]": text, "forward.rules[0]": text}


@pytest.mark.parametrize(
    ("rule", "matched"),
    [
        ({"protocol": "http"}, "HTTP"),
        ({"protocol": "websocket"}, "WebSocket"),
        ({"methods": ["GET"]}, REQUESTS),
        ({"methods": ["PUT", "DELETE"]}, "HTTP"),
    ],
)
def test_rule_for_requests_that_leads_to_targets_of_grpc_is_told(rule: dict[str, object], matched: str) -> None:
    text = f"it matches {matched} only, and its upstream answers {CALLS} only"
    assert doubtful(rule, "grpc://a:1")["groups.web.rules[0]"] == text


@pytest.mark.parametrize(
    ("rule", "target"),
    [
        ({}, "http://a:1"),
        ({}, "grpc://a:1"),
        ({"methods": ["POST"]}, "grpc://a:1"),
        ({"path_prefix": "/a.B"}, "http://a:1"),
        ({"service": "a.B"}, "grpcs://a:1"),
        ({"protocol": "websocket"}, "unix:/a"),
    ],
)
def test_rule_of_which_some_conversations_are_answered_may_be_meant_so(rule: dict[str, object], target: str) -> None:
    assert doubtful(rule, target) == {}


def test_rule_of_the_server_is_told_when_no_upstream_of_its_group_answers() -> None:
    text = f"it matches {CALLS} only, and the upstreams of its group answer {REQUESTS} only"
    assert doubtful({}, "http://a:1", service="a.B") == {"rules[0]": text}
    assert doubtful({}, "grpc://a:1", service="a.B") == {}


def test_group_without_rules_and_rules_of_tcp_are_left_alone() -> None:
    table = {
        "transports": {"memory": {"name": "edge"}},
        "rules": [{"group": "web", "service": "a.B"}],
        "groups": {"web": {}},
        "forward": {
            "rules": [{"protocol": "tcp", "upstream": "ssh", "groups": ["web"]}],
            "upstreams": {"ssh": {"targets": ["tcp://a:22"]}},
        },
    }
    assert list(dead_ends(decode_server_settings(table))) == []


def test_protocols_are_named_in_one_order() -> None:
    assert answered({"tcp", "grpc", "websocket", "http"}) == "HTTP and WebSocket and gRPC calls and TCP"
