"""The compiled engine, and its explanations, against a naive linear matcher."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st
from rules_kit import Oracle, requests, rule_lists

from tunnel.domain.envelopes import HttpRequest
from tunnel.domain.rules.engine import RulesEngine
from tunnel.domain.rules.explain import MAX_NEAR_MISSES, explain
from tunnel.domain.rules.rule import Rule

MIN_SHARE_WITH_SEVERAL_MATCHES = 0.3


@settings(max_examples=400)
@given(rule_lists, st.lists(requests, min_size=1, max_size=8))
@example([Rule(host="a.test", path="/x"), Rule(host="*.test")], [HttpRequest("GET", path=b"/y", host=b"a.test")])
def test_engine_agrees_with_a_linear_scan(rule_list: list[Rule], heads: list[HttpRequest]) -> None:
    engine, oracle = RulesEngine(rule_list), Oracle(rule_list)
    for head in heads:
        expected = oracle.matches(head)
        # Equal rules are told apart by identity.
        assert engine.match(head) is (rule_list[expected[0]] if expected else None)


@settings(max_examples=200)
@given(rule_lists, requests)
def test_explanation_agrees_with_the_engine_and_a_linear_scan(rule_list: list[Rule], head: HttpRequest) -> None:
    engine, oracle = RulesEngine(rule_list), Oracle(rule_list)
    explanation, expected = explain(engine, head), oracle.matches(head)
    assert explanation.rule is engine.match(head)
    assert explanation.order == (expected[0] if expected else None)
    outranked = [miss.order for miss in explanation.near_misses if miss.outranked_at is not None]
    assert outranked == expected[1 : 1 + MAX_NEAR_MISSES]
    for miss in explanation.near_misses:
        assert miss.rule is rule_list[miss.order]
        assert set(miss.failed) == oracle.failed(miss.rule, head)
    if len(explanation.near_misses) < MAX_NEAR_MISSES:
        missed = {miss.order for miss in explanation.near_misses} | {explanation.order}
        assert missed >= {order for order, rule in enumerate(rule_list) if len(oracle.failed(rule, head)) <= 1}


def test_generated_requests_often_match_several_rules() -> None:
    counts: list[int] = []

    @settings(max_examples=300, derandomize=True, database=None)
    @given(rule_lists, requests)
    def sample(rule_list: list[Rule], head: HttpRequest) -> None:
        counts.append(len(Oracle(rule_list).matches(head)))

    sample()
    several = sum(count >= 2 for count in counts) / len(counts)
    assert several >= MIN_SHARE_WITH_SEVERAL_MATCHES, f"{several:.0%}"
    assert counts.count(0), "some requests match nothing"
