from __future__ import annotations

import pytest

from tunnel.domain.envelopes import HttpRequest
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.rules.engine import RulesEngine
from tunnel.domain.rules.explain import MAX_NEAR_MISSES, Explanation, explain
from tunnel.domain.rules.rule import Rule, ValueMatch

HEAD = HttpRequest("GET", path=b"/api/users", query=b"v=2", host=b"App.test:80", headers=(b"x-env", b"blue"))


def explained(*rules: Rule, head: HttpRequest = HEAD) -> Explanation:
    return explain(RulesEngine(rules), head)


@pytest.mark.parametrize(
    ("rule", "failed"),
    [
        (Rule(host="other.test"), "host"),
        (Rule(host="*.app.test"), "host"),
        (Rule(path="/api"), "path"),
        (Rule(path_prefix="/apis"), "path"),
        (Rule(path_regex="/api"), "path"),
        (Rule(methods=("POST",)), "method"),
        (Rule(headers={"X-Env": "green"}), "header X-Env"),
        (Rule(headers={"x-env": "blue", "x-user": ValueMatch(present=True)}), "header x-user"),
        (Rule(query={"v": ValueMatch(regex="[13]")}), "query v"),
        (Rule(protocol="websocket"), "protocol"),
        (Rule(protocol="tcp"), "protocol"),
    ],
)
def test_rule_that_does_not_match_names_what_failed(rule: Rule, failed: str) -> None:
    explanation = explained(rule)
    assert (explanation.order, explanation.rule) == (None, None)
    (miss,) = explanation.near_misses
    assert (miss.order, miss.rule, miss.failed, miss.outranked_at) == (0, rule, (failed,), None)


@pytest.mark.parametrize(
    ("rule", "failed"),
    [
        (Rule(service="shop.Carts"), "service"),
        (Rule(service="shop.Orders", method="Put"), "grpc method"),
        (Rule(method="Put"), "grpc method"),
    ],
)
def test_calls_name_service_or_method(rule: Rule, failed: str) -> None:
    head = HttpRequest("POST", path=b"/shop.Orders/Get", protocol="grpc")
    assert [miss.failed for miss in explained(rule, head=head).near_misses] == [(failed,)]


@pytest.mark.parametrize(
    ("worse", "step"),
    [
        (Rule(host="*.test", path="/api/users"), "host"),
        (Rule(host="app.test", path_prefix="/"), "path"),
        (Rule(host="app.test", path_prefix="/api"), "methods"),
        (Rule(host="app.test", path_prefix="/api", methods=("GET",)), "headers"),
        (Rule(host="app.test", path_prefix="/api", methods=("GET",), headers={"x-env": "blue"}), "query"),
        (
            Rule(host="app.test", path_prefix="/api", methods=("GET",), headers={"x-env": "blue"}, query={"v": "2"}),
            "priority",
        ),
        (
            Rule(
                host="app.test",
                path_prefix="/api",
                methods=("GET",),
                headers={"x-env": "blue"},
                query={"v": "2"},
                priority=1,
            ),
            "order",
        ),
    ],
)
def test_rule_that_is_outranked_names_the_step_that_decided(worse: Rule, step: str) -> None:
    best = Rule(
        host="app.test",
        path_prefix="/api",
        methods=("GET", "POST"),
        headers={"X-Env": "blue"},
        query={"v": ValueMatch(regex="[0-9]")},
        priority=1,
    )
    explanation = explained(best, worse)
    assert (explanation.order, explanation.rule) == (0, best)
    (miss,) = explanation.near_misses
    assert (miss.order, miss.failed, miss.outranked_at) == (1, (), step)


def test_closest_come_first_and_rules_for_something_else_do_not_come() -> None:
    explanation = explained(
        Rule(host="other.test", path="/other"),
        Rule(host="other.test", service="shop.Orders"),
        Rule(host="other.test"),
        Rule(host="app.test", methods=("POST",), query={"v": "3"}),
        Rule(path_prefix="/api", methods=("POST",), query={"v": "3"}, headers={"x-env": "green"}),
        Rule(path_prefix="/other", methods=("POST",)),
        Rule(host="other.test", path_prefix="/api"),
        Rule(path_prefix="/other"),
        Rule(path_prefix="/"),
        Rule(host="app.test", path="/other"),
        Rule(path_prefix="/api"),
    )
    assert explanation.order == 10
    assert [(miss.order, miss.failed) for miss in explanation.near_misses] == [
        (8, ()),
        (9, ("path",)),
        (7, ("path",)),
        (3, ("method", "query v")),
        (4, ("method", "header x-env", "query v")),
        (6, ("host",)),
        (2, ("host",)),
    ]


def test_near_misses_are_bounded() -> None:
    explanation = explained(*(Rule(path_prefix="/api", priority=priority) for priority in range(100)))
    assert (explanation.order, MAX_NEAR_MISSES) == (99, 20)
    assert [miss.order for miss in explanation.near_misses] == list(range(98, 98 - MAX_NEAR_MISSES, -1))


def test_requests_that_are_refused_are_not_explained() -> None:
    with pytest.raises(SessionError) as caught:
        explained(Rule(), head=HttpRequest("GET", path=b"/../x", host=b"app.test"))
    assert caught.value.code is ErrorCode.BAD_REQUEST
